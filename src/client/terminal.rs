//! What the person sees and writes: lines at a terminal, plain lines in a pipe, or one JSON object a line for programs.
//!
//! Promise: nothing that somebody else wrote can move the cursor, change colours or write over other lines.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::mpsc::SyncSender;
use std::thread;

use rustyline::error::ReadlineError;
use rustyline::{DefaultEditor, ExternalPrinter};
use serde_json::Value;

/// What the person does.
#[derive(Debug)]
pub enum Typed {
    /// Wrote a line.
    Line(String),
    /// Is done: end of input, or Ctrl-C.
    End,
}

/// Where lines go.
pub struct Terminal {
    json: bool,
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("json", &self.json).finish_non_exhaustive()
    }
}

impl Terminal {
    /// Opens the terminal (or the pipes) and reads lines into `inbox` from then on.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn open<T: From<Typed> + Send + 'static>(json: bool, inbox: SyncSender<T>) -> io::Result<Self> {
        let mut editor = None;
        let mut printer: Option<Box<dyn ExternalPrinter + Send>> = None;
        if !json
            && is_interactive()
            && let Ok(mut line) = DefaultEditor::new()
            && let Ok(external) = line.create_external_printer()
        {
            printer = Some(Box::new(external));
            editor = Some(line);
        }
        thread::Builder::new().name("causerie-lines".to_owned()).spawn(move || match editor {
            Some(editor) => read_edited(editor, &inbox),
            None => read_plain(&inbox),
        })?;
        Ok(Self { json, printer })
    }

    /// Whether JSON lines are wanted.
    #[must_use]
    pub fn json(&self) -> bool {
        self.json
    }

    /// Prints a line of text (not in JSON mode, where only [`Terminal::event`] prints).
    pub fn line(&mut self, text: &str) {
        if self.json {
            return;
        }
        match &mut self.printer {
            Some(printer) => {
                let _ = printer.print(format!("{text}\n"));
            }
            // A closed pipe ends the program at the next line that is read; there is nobody to tell.
            None => drop(writeln!(io::stdout().lock(), "{text}")),
        }
    }

    /// Prints one JSON object (in JSON mode only).
    pub fn event(&mut self, value: &Value) {
        if self.json {
            drop(writeln!(io::stdout().lock(), "{value}"));
        }
    }
}

/// Whether somebody sits there.
#[must_use]
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

fn read_edited<T: From<Typed>>(mut editor: DefaultEditor, inbox: &SyncSender<T>) {
    loop {
        match editor.readline("> ") {
            Ok(line) => {
                let _ = editor.add_history_entry(&line);
                if inbox.send(Typed::Line(line).into()).is_err() {
                    return;
                }
            }
            // The window changed its size.
            Err(ReadlineError::Signal(_)) => {}
            Err(_) => {
                let _ = inbox.send(Typed::End.into());
                return;
            }
        }
    }
}

fn read_plain<T: From<Typed>>(inbox: &SyncSender<T>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if inbox.send(Typed::Line(line).into()).is_err() {
            return;
        }
    }
    let _ = inbox.send(Typed::End.into());
}

/// Asks a question and reads one line; without echo when it is a secret.
///
/// # Errors
/// When there is no terminal to ask at.
pub fn ask(question: &str, secret: bool) -> io::Result<String> {
    if !io::stdin().is_terminal() {
        return Err(io::Error::other("there is no terminal to ask at"));
    }
    let mut out = io::stderr().lock();
    write!(out, "{question}")?;
    out.flush()?;
    let mut line = String::new();
    if secret {
        let stdin = rustix::stdio::stdin();
        let before = rustix::termios::tcgetattr(stdin)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(rustix::termios::LocalModes::ECHO);
        quiet.local_modes.insert(rustix::termios::LocalModes::ECHONL);
        rustix::termios::tcsetattr(stdin, rustix::termios::OptionalActions::Flush, &quiet)?;
        let read = io::stdin().lock().read_line(&mut line);
        rustix::termios::tcsetattr(stdin, rustix::termios::OptionalActions::Now, &before)?;
        read?;
    } else {
        io::stdin().lock().read_line(&mut line)?;
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Text of others without power over the terminal: control characters are shown as pictures, marks that change the direction of
/// what follows as `�`; a new line of the text is indented, so that it cannot be taken for somebody else's.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\n    "),
            '\t' => out.push_str("    "),
            '\0'..='\u{1f}' => out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{61c}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_has_no_power_over_the_terminal() {
        assert_eq!(harmless("plain é 中 😀"), "plain é 中 😀");
        assert_eq!(harmless("\u{1b}[2J\u{7}\r"), "␛[2J␇␍");
        assert_eq!(harmless("a\nbob: hi\tx"), "a\n    bob: hi    x");
        assert_eq!(harmless("\u{9b}31m\u{202e}x\u{7f}"), "\u{fffd}31m\u{fffd}x\u{2421}");
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        assert!(harmless(&all).chars().all(|c| c == '\n' || !c.is_control()));
    }
}
