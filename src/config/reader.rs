//! Takes values out of a [`Raw`] by key and type, tells what does not fit, and remembers which keys exist.
//!
//! From the environment and from flags every value is a string; a list is then separated by commas. From the file a value must have
//! its own type. Values of secrets are never shown: problems of lists say which item, not what it holds.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::Value;

use super::problem::{Problems, nearest};
use super::raw::{Entry, Raw, Source};

/// See the file's head.
pub(super) struct Reader<'a> {
    raw: Raw,
    asked: Vec<&'static str>,
    set: Vec<(&'static str, Source)>,
    problems: &'a mut Problems,
}

impl<'a> Reader<'a> {
    pub(super) fn new(raw: Raw, problems: &'a mut Problems) -> Self {
        Self { raw, asked: Vec::new(), set: Vec::new(), problems }
    }

    /// Tells what nobody asked for, and gives the keys that exist.
    pub(super) fn finish(self) -> Vec<&'static str> {
        for (key, source) in self.raw.left() {
            let hint = nearest(&key, self.asked.iter().copied()).map_or_else(
                || ": config/default.toml explains every key".to_owned(),
                |meant| format!(", did you mean {meant}?"),
            );
            self.problems.add(key, Some(source), format!("there is no such key{hint}"));
        }
        self.asked
    }

    /// Tells a problem of a key that was asked for, with where its value came from.
    pub(super) fn problem(&mut self, key: &str, says: String) {
        let source = self.set.iter().find(|(set, _)| *set == key).map(|(_, source)| source.clone());
        self.problems.add(key, source, says);
    }

    fn take(&mut self, key: &'static str) -> Option<Entry> {
        debug_assert!(!self.asked.contains(&key), "{key} is read twice");
        self.asked.push(key);
        let entry = self.raw.take(key)?;
        self.set.push((key, entry.source.clone()));
        Some(entry)
    }

    /// A text, which may be empty.
    pub(super) fn text_or_empty(&mut self, key: &'static str) -> Option<String> {
        let entry = self.take(key)?;
        if let Value::String(text) = entry.value {
            return Some(text);
        }
        self.problem(key, format!("must be a text in quotes, not {}", article(&entry.value)));
        None
    }

    /// A text; an empty one counts as not set.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.text_or_empty(key).filter(|text| !text.is_empty())
    }

    /// A path; an empty one counts as not set.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// An address with a port. `localhost` is 127.0.0.1.
    pub(super) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let Some(text) = self.text(key) else { return default };
        let numeric = text.strip_prefix("localhost:").map_or_else(|| text.clone(), |port| format!("127.0.0.1:{port}"));
        numeric.parse().unwrap_or_else(|_| {
            let says = format!("{text:?} is not an address: write it as 127.0.0.1:8443, 0.0.0.0:443 or [::]:443");
            self.problem(key, says);
            default
        })
    }

    /// A whole number in a range.
    pub(super) fn number<T>(&mut self, key: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: Copy + Ord + TryFrom<i64> + std::fmt::Display,
    {
        let Some(entry) = self.take(key) else { return default };
        let number = match &entry.value {
            Value::Integer(number) => Some(*number),
            Value::String(text) if !matches!(entry.source, Source::File(_)) => {
                text.trim().replace('_', "").parse().ok()
            }
            Value::String(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => None,
        };
        let fits = number.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number));
        fits.unwrap_or_else(|| {
            let shown = number.map_or_else(|| article(&entry.value), |number| number.to_string());
            self.problem(key, format!("must be a whole number from {} to {}, not {shown}", range.start(), range.end()));
            default
        })
    }

    /// A list of whole numbers in a range.
    pub(super) fn numbers(&mut self, key: &'static str, range: RangeInclusive<usize>) -> Vec<usize> {
        let Some(entry) = self.take(key) else { return Vec::new() };
        let items: Vec<Option<i64>> = match (&entry.value, &entry.source) {
            (Value::Array(items), _) => items.iter().map(Value::as_integer).collect(),
            (Value::String(text), Source::Environment(_) | Source::Flag(_)) => {
                split(text).map(|item| item.parse().ok()).collect()
            }
            _ => vec![None],
        };
        let mut numbers = Vec::new();
        for item in items {
            let fits = item.and_then(|item| usize::try_from(item).ok()).filter(|item| range.contains(item));
            let Some(number) = fits else {
                let (from, to) = (range.start(), range.end());
                self.problem(key, format!("must be a list of numbers from {from} to {to}, such as [0, 1]"));
                return Vec::new();
            };
            numbers.push(number);
        }
        numbers
    }

    /// A list of texts. `None`: not set, or no list.
    fn list(&mut self, key: &'static str) -> Option<Vec<String>> {
        let entry = self.take(key)?;
        let items = match (entry.value, &entry.source) {
            (Value::Array(items), _) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            (Value::String(text), Source::Environment(_) | Source::Flag(_)) => {
                Some(split(&text).map(str::to_owned).collect())
            }
            _ => None,
        };
        if items.is_none() {
            self.problem(key, "must be a list of texts, such as [\"a\", \"b\"]".to_owned());
        }
        if let Some(empty) = items.as_ref().and_then(|items: &Vec<String>| items.iter().position(String::is_empty)) {
            self.problem(key, format!("item {} is empty", empty + 1));
        }
        items
    }

    /// A list of texts, empty when not set.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<String> {
        self.list(key).unwrap_or_default()
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(entry) = self.take(key) else { return default };
        let flag = match (&entry.value, &entry.source) {
            (Value::Boolean(flag), _) => Some(*flag),
            (Value::String(text), Source::Environment(_) | Source::Flag(_)) => text.trim().parse().ok(),
            _ => None,
        };
        flag.unwrap_or_else(|| {
            self.problem(key, format!("must be true or false, not {}", article(&entry.value)));
            default
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, default: T, words: &[(&str, T)]) -> T {
        let Some(text) = self.text(key) else { return default };
        words.iter().find(|(word, _)| *word == text).map_or_else(
            || {
                self.problem(key, format!("must be {}, not {text:?}", one_of(words)));
                default
            },
            |(_, value)| *value,
        )
    }

    /// Several of a few words.
    pub(super) fn choices<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Vec<T> {
        let mut chosen = Vec::new();
        for text in self.texts(key) {
            match words.iter().find(|(word, _)| *word == text) {
                Some((_, value)) => chosen.push(*value),
                None => self.problem(key, format!("each item must be {}, not {text:?}", one_of(words))),
            }
        }
        chosen
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    let whole = text.trim();
    whole.split(',').map(str::trim).filter(move |_| !whole.is_empty())
}

fn one_of<T>(words: &[(&str, T)]) -> String {
    let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// What a value is, for a sentence; never what it holds.
fn article(value: &Value) -> String {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a number with a point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
    .to_owned()
}
