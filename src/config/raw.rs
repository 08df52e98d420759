//! The settings as they were written: one value a dotted key, with where it came from. Later sources replace earlier ones.
//!
//! Nothing is judged here but the form of the file and the names of environment variables; whether a key exists and what its value
//! means is decided by [`super::settings`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Flags;
use super::problem::{Problems, nearest};

/// What every environment variable of ours begins with.
const PREFIX: &str = "CAUSERIE_";

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In this file.
    File(PathBuf),
    /// In this environment variable.
    Environment(String),
    /// In this flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The value. From the environment and from flags it is a string, whatever the key wants.
    pub value: Value,
    /// Where it was written.
    pub source: Source,
}

/// All that was written, by dotted key.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    entries: BTreeMap<String, Entry>,
}

impl Raw {
    /// Takes all of a TOML file.
    pub fn read_file(&mut self, path: &Path, problems: &mut Problems) {
        let source = Source::File(path.to_path_buf());
        match std::fs::read_to_string(path) {
            Ok(text) => self.read_text(&text, &source, problems),
            Err(error) => problems.add("", Some(source), format!("cannot be read: {error}")),
        }
    }

    /// Takes all of a TOML text.
    pub fn read_text(&mut self, text: &str, source: &Source, problems: &mut Problems) {
        match text.parse::<Table>() {
            Ok(table) => self.flatten("", table, source),
            // The message holds line, column and the line itself, which may hold a secret: the place is enough.
            Err(error) => {
                let line = error.span().and_then(|span| text.get(..span.start)).map_or(1, |t| t.lines().count().max(1));
                problems.add("", Some(source.clone()), format!("line {line} is not valid TOML: {}", error.message()));
            }
        }
    }

    fn flatten(&mut self, prefix: &str, table: Table, source: &Source) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(inner) => self.flatten(&key, inner, source),
                value @ (Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_)) => self.put(key, value, source.clone()),
            }
        }
    }

    /// Takes the variables that begin with `CAUSERIE_` and hold `__`. Others are let be (an orchestrator may have set
    /// `CAUSERIE_PORT`), unless one `_` too few is all that is wrong with them.
    pub fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
        known: &BTreeSet<String>,
        problems: &mut Problems,
    ) {
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let source = Source::Environment(name.clone());
            if !rest.contains("__") {
                if let Some(meant) = known.iter().find(|key| key.replace('.', "_") == rest.to_ascii_lowercase()) {
                    let write = variable(meant);
                    problems.add(name, None, format!("sets nothing: write {write} (two underscores after a section)"));
                }
                continue;
            }
            let key = rest.replace("__", ".").to_ascii_lowercase();
            if known.contains(&key) {
                self.put(key, Value::String(value), source);
            } else {
                let hint = nearest(&key, known.iter().map(String::as_str))
                    .map(|meant| format!(", did you mean {}?", variable(meant)))
                    .unwrap_or_default();
                problems.add(name, None, format!("there is no setting {key}{hint}"));
            }
        }
    }

    /// Takes what the command line set.
    pub fn read_flags(&mut self, flags: &Flags) {
        let all = [
            ("server.listen", "--listen", &flags.listen),
            ("server.admin_listen", "--admin-listen", &flags.admin_listen),
            ("data.dir", "--data-dir", &flags.data_dir),
            ("store.kind", "--store", &flags.store),
            ("server.shards", "--shards", &flags.shards),
        ];
        for (key, flag, value) in all {
            if let Some(value) = value {
                self.put(key.to_owned(), Value::String(value.clone()), Source::Flag(flag));
            }
        }
    }

    fn put(&mut self, key: String, value: Value, source: Source) {
        self.entries.insert(key, Entry { value, source });
    }

    /// What was written for a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Removes and gives what was written for a key.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        self.entries.remove(key)
    }

    /// What nobody took.
    pub fn left(self) -> impl Iterator<Item = (String, Source)> {
        self.entries.into_iter().map(|(key, entry)| (key, entry.source))
    }
}

/// The environment variable of a key.
#[must_use]
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}
