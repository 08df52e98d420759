//! Reads Prometheus' text format (version 0.0.4) into series that can be asked for by name and label.
//!
//! Takes what any exporter may write (comments, time stamps, `NaN`, labels in any order), and says in which line it does not
//! understand something. It does not know which names there are.

use std::collections::BTreeMap;

/// Labels of one series, sorted by name.
pub type Labels = Vec<(String, String)>;

/// What a page said, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    names: BTreeMap<String, BTreeMap<Labels, f64>>,
}

/// Why a page cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not Prometheus' text format: {what}")]
pub struct Unreadable {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// The first line that is neither a comment nor a sample.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut page = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, labels, value) = sample(line).map_err(|what| Unreadable { line: at + 1, what })?;
            page.names.entry(name).or_default().insert(labels, value);
        }
        Ok(page)
    }

    /// Whether a series of this name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// All series of a name.
    pub fn series(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.names.get(name).into_iter().flatten().map(|(labels, value)| (labels, *value))
    }

    /// One series, by its labels (sorted).
    #[must_use]
    pub fn value(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.names.get(name)?.get(labels).copied()
    }
}

/// The value of a label.
#[must_use]
pub fn label<'a>(labels: &'a Labels, name: &str) -> Option<&'a str> {
    labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
}

fn sample(line: &str) -> Result<(String, Labels, f64), &'static str> {
    let end = line.find(|c: char| !is_name(c)).ok_or("a name without a value")?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("no name at its begin");
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words.next().ok_or("a series without a value")?;
    // `+Inf`, `-Inf` and `NaN` are understood by Rust as well.
    let value = value.parse().map_err(|_| "the value is no number")?;
    if words.next().is_some_and(|stamp| stamp.parse::<i64>().is_err()) || words.next().is_some() {
        return Err("something after the value that is no time stamp");
    }
    Ok((name.to_owned(), labels, value))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// `a="b",c="d"} rest` into the pairs and the rest.
fn labels(text: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = Labels::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            labels.sort();
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once('=').ok_or("labels without an end")?;
        let name = name.trim();
        if name.is_empty() || !name.chars().all(is_name) {
            return Err("a label without a name");
        }
        let after = after.trim_start().strip_prefix('"').ok_or("a label's value without quotes")?;
        let (value, after) = quoted(after)?;
        labels.push((name.to_owned(), value));
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.starts_with('}') => rest,
            None => return Err("labels without a comma between"),
        };
    }
}

/// Text up to its closing quote, without the escapes, and what follows.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("a label's value without an end")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::expose::{Numbers, render};
    use crate::metrics::text::{Kind, Text};

    #[test]
    fn lines_of_all_kinds() {
        let page = Page::parse(
            "# HELP a b\n# TYPE a gauge\na 1\n\nb_total{x=\"1\",a=\"q\\\"\\\\\\n}\"} 2.5 1700000000000\nc{} +Inf\n d{ e = \"f\" , } NaN\n",
        )
        .unwrap();
        assert_eq!(page.value("a", &Vec::new()), Some(1.0));
        let labels = vec![("a".to_owned(), "q\"\\\n}".to_owned()), ("x".to_owned(), "1".to_owned())];
        assert_eq!(page.value("b_total", &labels), Some(2.5));
        assert_eq!(page.value("c", &Vec::new()), Some(f64::INFINITY));
        assert!(!page.has("e"));
        assert_eq!(page.names().collect::<Vec<_>>(), ["a", "b_total", "c", "d"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line) in [
            ("a", 1),
            ("a b", 1),
            ("\n1a 2", 2),
            ("a{x=1} 2", 1),
            ("a{x=\"1\" 2", 1),
            ("a{x=\"1\"y=\"2\"} 2", 1),
            ("a{x=\"1} 2", 1),
            ("a{=\"1\"} 2", 1),
            ("a 1 then", 1),
            ("a 1 2 3", 1),
            ("<html>", 1),
        ] {
            assert_eq!(Page::parse(text).map_err(|why| why.line), Err(line), "{text}");
        }
    }

    #[test]
    fn the_servers_own_page_is_read_whole() {
        let shards = [crate::metrics::Snapshot::default(), crate::metrics::Snapshot { shard: 1, ..Default::default() }];
        let text = render(&Numbers { shards: &shards, ..Numbers::default() });
        let page = Page::parse(&text).unwrap();
        let samples: usize = page.names.values().map(BTreeMap::len).sum();
        assert_eq!(samples, text.lines().filter(|line| !line.starts_with('#')).count());
        let shard = |n: &str| page.value("causerie_connections_active", &vec![("shard".into(), n.into())]);
        assert_eq!((shard("0"), shard("1"), shard("2")), (Some(0.0), Some(0.0), None));
    }

    proptest! {
        #[test]
        fn what_our_writer_writes_is_read_back(value in any::<u64>(), text in ".*") {
            let mut written = Text::default();
            written.family("a_total", Kind::Counter, "help").sample(&[("x", &text), ("y", "z")], value);
            let page = Page::parse(&written.finish()).unwrap();
            let labels = vec![("x".to_owned(), text), ("y".to_owned(), "z".to_owned())];
            #[allow(clippy::cast_precision_loss)] // what a float keeps of it
            let wanted = value as f64;
            prop_assert_eq!(page.value("a_total", &labels), Some(wanted));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*", line in "[a{}=\"\\\\, 1#\n]*") {
            let _ = (Page::parse(&text), Page::parse(&line));
        }
    }
}
