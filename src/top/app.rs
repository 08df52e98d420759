//! The live view: what has come in, what keys change, and the loop around terminal and server.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::interval::{Interval, Snapshot, restarted};
use super::plain::wall;
use super::screen;
use super::source::Source;
use super::tables::Sort;
use super::view::View;
use crate::client::Stopped;

/// How often keys and new numbers are looked for.
const TICK: Duration = Duration::from_millis(50);
/// Points of the curves: more than the widest terminal has.
const HISTORY: usize = 500;

/// What fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    Overview,
    Shards,
    Clients,
    Process,
}

impl Page {
    pub(super) const ALL: [Self; 4] = [Self::Overview, Self::Shards, Self::Clients, Self::Process];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Shards => "shards",
            Self::Clients => "clients",
            Self::Process => "process",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|page| *page == self).unwrap_or(0);
        Self::ALL.get((at + 1) % Self::ALL.len()).copied().unwrap_or_default()
    }
}

/// A point of the curves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) deliveries: f64,
    pub(super) acked_p99_ms: f64,
}

/// Everything that the screen shows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) target: String,
    pub(super) every: Duration,
    /// The newest page, for the next interval.
    last: Option<Snapshot>,
    pub(super) view: Option<View>,
    pub(super) history: VecDeque<Point>,
    /// Since when there is no answer (our clock), and why.
    pub(super) away: Option<(f64, String)>,
    /// When another process answered than before (our clock).
    pub(super) restarted: Option<f64>,
    pub(super) page: Page,
    pub(super) sort: Sort,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// Rows of shards that are scrolled away.
    pub(super) scroll: usize,
    /// Our clock, in seconds.
    pub(super) now: f64,
    /// Seconds since 1970.
    pub(super) wall: f64,
    /// Whether colours may be used.
    pub(super) colour: bool,
}

impl State {
    pub(super) fn new(target: &str, every: Duration, colour: bool) -> Self {
        Self {
            target: target.to_owned(),
            every,
            last: None,
            view: None,
            history: VecDeque::new(),
            away: None,
            restarted: None,
            page: Page::default(),
            sort: Sort::default(),
            paused: false,
            help: false,
            scroll: 0,
            now: 0.0,
            wall: 0.0,
            colour,
        }
    }

    /// Takes in an answer of the server. While paused, the numbers on the screen stay; what they are reckoned from does not.
    pub(super) fn came(&mut self, answer: Result<Snapshot, String>) {
        let after = match answer {
            Ok(after) => after,
            Err(why) => {
                let since = self.away.take().map_or(self.now, |(since, _)| since);
                self.away = Some((since, why));
                return;
            }
        };
        self.away = None;
        if self.last.as_ref().is_some_and(|before| restarted(before, &after)) {
            self.restarted = Some(self.now);
        }
        let view = View::of(&Interval::new(self.last.as_ref(), &after));
        if view.interval_seconds.is_some() {
            self.history.push_back(Point {
                deliveries: view.all.deliveries.unwrap_or(0.0),
                acked_p99_ms: view.all.received_to_acked.p99_ms.unwrap_or(0.0),
            });
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
        if !self.paused || self.view.is_none() {
            self.view = Some(view);
        }
        self.last = Some(after);
    }

    /// Does what a key says. `false`: the person is done.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return false,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Tab | KeyCode::Right => self.turn_to(self.page.next()),
            KeyCode::BackTab | KeyCode::Left => self.turn_to(self.page.next().next().next()),
            KeyCode::Char(digit @ '1'..='4') => {
                let at = usize::try_from(u32::from(digit) - u32::from('1')).unwrap_or(0);
                self.turn_to(Page::ALL.get(at).copied().unwrap_or_default());
            }
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(10),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
        // No page is longer; so that the way back is not longer than the way.
        let longest = self.view.as_ref().map_or(0, |view| view.shards.len()) + 100;
        self.scroll = self.scroll.min(longest);
        true
    }

    fn turn_to(&mut self, page: Page) {
        self.page = page;
        self.scroll = 0;
        self.help = false;
    }
}

/// Shows the numbers until the person is done or the process is told to end.
pub(super) fn run(source: Source, every: Duration, target: &str) -> Result<(), Stopped> {
    let because = |error: io::Error| Stopped::because(error.to_string());
    // https://no-color.org: any value but an empty one.
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut state = State::new(target, every, colour);
    let end = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&end)).map_err(because)?;
    }
    // The terminal is gone: there is nothing to restore, and waiting for its keys would never end (each read says at once that there are none).
    let gone = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGHUP, 1, gone).map_err(because)?;
    let clock = std::time::Instant::now();
    let pages = source.watch(every).map_err(because)?;
    let mut terminal = ratatui::try_init().map_err(because)?;
    let done = turn(&mut terminal, &mut state, &pages, &end, &clock);
    // Whatever happened: the terminal is to be as it was before anybody reads why.
    let restored = ratatui::try_restore();
    done.and(restored).map_err(because)
}

fn turn(
    terminal: &mut ratatui::DefaultTerminal,
    state: &mut State,
    pages: &Receiver<Result<Snapshot, String>>,
    end: &AtomicBool,
    clock: &std::time::Instant,
) -> io::Result<()> {
    let mut drawn = None;
    while !end.load(Ordering::Relaxed) {
        (state.now, state.wall) = (clock.elapsed().as_secs_f64(), wall());
        let mut changed = false;
        loop {
            match pages.try_recv() {
                Ok(answer) => state.came(answer),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(io::Error::other("the thread that asks has ended")),
            }
            changed = true;
        }
        // Times that pass are shown to the second.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds")]
        let second = Some(state.now as u64);
        if changed || drawn != second {
            terminal.draw(|frame| screen::draw(frame, state))?;
            drawn = second;
        }
        if event::poll(TICK)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    if !state.key(key) {
                        return Ok(());
                    }
                    drawn = None;
                }
                Event::Resize(..) => drawn = None,
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::interval::tests::snapshot;
    use super::*;

    pub(in super::super) fn state() -> State {
        State::new("localhost:9443", Duration::from_secs(1), true)
    }

    fn page(at: f64, start: u32, sent: u32) -> Snapshot {
        snapshot(
            at,
            &format!(
                "causerie_build_info{{version=\"1\"}} 1\ncauserie_process_start_time_seconds {start}\n\
                 causerie_connections_active{{shard=\"0\"}} 3\ncauserie_messages_received_total{{shard=\"0\"}} {sent}\n"
            ),
        )
    }

    fn messages(state: &State) -> Option<f64> {
        state.view.as_ref().unwrap().all.messages
    }

    fn press(state: &mut State, key: char) -> bool {
        state.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE))
    }

    #[test]
    fn a_server_that_goes_and_comes_back_is_shown_as_such() {
        let mut state = state();
        state.came(Ok(page(0.0, 100, 10)));
        assert_eq!(messages(&state), None);
        state.came(Ok(page(1.0, 100, 15)));
        assert_eq!(messages(&state), Some(5.0));
        state.now = 2.0;
        state.came(Err("refused".to_owned()));
        state.now = 5.0;
        state.came(Err("still refused".to_owned()));
        assert_eq!(state.away, Some((2.0, "still refused".to_owned())));
        // What was known last stays.
        assert_eq!(messages(&state), Some(5.0));
        // The same process after a gap: the rate is over all of it.
        state.came(Ok(page(11.0, 100, 35)));
        assert_eq!((messages(&state), state.away.clone(), state.restarted), (Some(2.0), None, None));
        // Another process, whose counter is even higher.
        state.now = 12.0;
        state.came(Ok(page(12.0, 200, 500)));
        assert_eq!((messages(&state), state.restarted), (None, Some(12.0)));
        state.came(Ok(page(13.0, 200, 501)));
        assert_eq!(messages(&state), Some(1.0));
    }

    #[test]
    fn a_pause_holds_the_numbers_and_goes_on_with_the_newest() {
        let mut state = state();
        state.came(Ok(page(0.0, 1, 0)));
        state.came(Ok(page(1.0, 1, 1)));
        assert!(press(&mut state, 'p') && state.paused);
        state.came(Ok(page(2.0, 1, 100)));
        assert_eq!(messages(&state), Some(1.0));
        assert!(press(&mut state, 'p'));
        state.came(Ok(page(3.0, 1, 107)));
        assert_eq!(messages(&state), Some(7.0));
        assert_eq!(state.history.len(), 3);
    }

    #[test]
    fn keys() {
        let mut state = state();
        press(&mut state, '3');
        assert_eq!(state.page, Page::Clients);
        state.key(KeyCode::Tab.into());
        state.key(KeyCode::Tab.into());
        assert_eq!(state.page, Page::Overview);
        state.key(KeyCode::BackTab.into());
        assert_eq!(state.page, Page::Process);
        press(&mut state, '?');
        assert!(state.help);
        assert!(state.key(KeyCode::Esc.into()));
        assert!(!state.help);
        press(&mut state, 's');
        assert_eq!(state.sort, Sort::Connections);
        assert!(!press(&mut state, 'q'));
        assert!(!state.key(KeyCode::Esc.into()));
        assert!(!state.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    }

    #[test]
    fn the_curves_do_not_grow_for_ever() {
        let mut state = state();
        (0..=2000_u32).for_each(|n| state.came(Ok(page(f64::from(n), 1, n))));
        assert_eq!(state.history.len(), HISTORY);
    }
}
