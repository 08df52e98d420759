//! What is wrong with a configuration: one [`Problem`] a fault, all of them told together, each by its key and with what to do.

use std::fmt;

use super::raw::Source;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, as `section.name`; empty when the file as a whole is meant.
    pub key: String,
    /// Where the value came from; `None` when it is missing.
    pub source: Option<Source>,
    /// What is wrong and what to write instead, in one sentence. Never holds a secret.
    pub says: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.is_empty(), &self.source) {
            (true, Some(source)) => write!(f, "{source}: {}", self.says),
            (true, None) => f.write_str(&self.says),
            (false, Some(source)) => write!(f, "{} (from {source}): {}", self.key, self.says),
            (false, None) => write!(f, "{}: {}", self.key, self.says),
        }
    }
}

/// All faults of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn add(&mut self, key: impl Into<String>, source: Option<Source>, says: impl Into<String>) {
        self.0.push(Problem { key: key.into(), source, says: says.into() });
        self.0.sort_by(|a, b| a.key.cmp(&b.key));
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} problem{}:", if count == 1 { "" } else { "s" })?;
        for problem in &self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The one of `known` that is most like `word`, if one is like it at all.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|(steps, name)| *steps <= name.len().max(word.len()) / 3)
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be added, removed or changed to make one word the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            left = (left + 1).min(above + 1).min(diagonal + usize::from(from != *to));
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_nonsense_finds_none() {
        let known = ["server.listen", "server.shards", "tls.cert"];
        assert_eq!(nearest("server.lisen", known), Some("server.listen"));
        assert_eq!(nearest("sever.shard", known), Some("server.shards"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn distance_is_the_number_of_changes() {
        for (a, b, steps) in [("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("same", "same", 0)] {
            assert_eq!(distance(a, b), steps, "{a} {b}");
        }
    }

    #[test]
    fn all_problems_are_told_sorted_by_key() {
        let mut problems = Problems::default();
        problems.add("tls.key", None, "is missing");
        problems.add("server.listen", Some(Source::Flag("--listen")), "is no address");
        assert_eq!(
            problems.to_string(),
            "the configuration has 2 problems:\n  server.listen (from --listen): is no address\n  tls.key: is missing"
        );
    }
}
