//! The house rules, held by a test: layers, file heads, orphans, stray words, lengths, places, waiting, dependencies.
//!
//! Each rule is a function from files to violations, and each has a test that shows it a sample it must refuse, so that a rule that
//! went blind is found out. What a rule lets pass stands beside it in a list, with the reason.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may stop where it stands")]

mod dependencies;
mod layers;
mod rules;

use std::path::{Path, PathBuf};

/// A file of the project, by its path from the root.
#[derive(Clone, Debug)]
struct Source {
    path: String,
    text: String,
}

impl Source {
    #[cfg(test)]
    fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_rust(&self) -> bool {
        has_ending(&self.path, &["rs"])
    }

    /// The lines with their numbers, comments left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn has_ending(path: &str, endings: &[&str]) -> bool {
    Path::new(path).extension().is_some_and(|ending| endings.iter().any(|one| ending == *one))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the project; what is built, fetched or kept by a running server is left out.
fn files() -> Vec<Source> {
    fn walk(root: &Path, folder: &Path, into: &mut Vec<Source>) {
        let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let link = path.symlink_metadata().unwrap().file_type().is_symlink();
            let skipped =
                name.starts_with("target") || ["data", "node_modules", "corpus", "artifacts"].contains(&&*name);
            if link || skipped || (name.starts_with('.') && name != ".ci" && name != ".gitignore") {
                continue;
            }
            if path.is_dir() {
                walk(root, &path, into);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                into.push(Source { path: path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), text });
            }
        }
    }
    let mut all = Vec::new();
    walk(&root(), &root(), &mut all);
    assert!(all.iter().any(|file| file.path == "src/lib.rs"), "the walk found nothing");
    all
}

/// Fails with all violations of one rule.
#[track_caller]
fn hold(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}
