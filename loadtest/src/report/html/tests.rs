//! The page is well-formed, needs nothing from elsewhere, and escapes what comes from outside.

use super::super::{Expectation, Report, sample};
use super::{escape, page};

/// Holds a text against the rules of XML that a browser's leniency would hide: every tag closed in its order, attributes quoted and not
/// doubled, no bare `<` or `&`. Gives the texts between the tags.
fn well_formed(page: &str) -> Result<Vec<String>, String> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").ok_or("no doctype")?;
    let (mut open, mut texts) = (Vec::new(), Vec::new());
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        let style = open.last() == Some(&"style");
        let bare = text.match_indices('&').any(|(at, _)| {
            !["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"].iter().any(|entity| text[at..].starts_with(entity))
        });
        if !style && (bare || text.contains('>')) {
            return Err(format!("not escaped: {text}"));
        }
        texts.push(text.to_owned());
        let tag = &rest[at + 1..];
        let end = tag.find('>').ok_or("a tag does not end")?;
        let (inside, after) = (&tag[..end], &tag[end + 1..]);
        rest = after;
        if let Some(name) = inside.strip_prefix('/') {
            match open.pop() {
                Some(opened) if opened == name => {}
                opened => return Err(format!("</{name}> closes {opened:?}")),
            }
            continue;
        }
        let alone = inside.ends_with('/');
        let inside = inside.trim_end_matches('/');
        let (name, mut attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        let mut seen = Vec::new();
        while !attributes.trim().is_empty() {
            let (attribute, after) =
                attributes.trim_start().split_once("=\"").ok_or(format!("unquoted: <{inside}>"))?;
            let (value, after) = after.split_once('"').ok_or(format!("unquoted: <{inside}>"))?;
            if seen.contains(&attribute) || value.contains('<') || attribute.contains(' ') {
                return Err(format!("an attribute twice, or not escaped: <{inside}>"));
            }
            seen.push(attribute);
            attributes = after;
        }
        if !alone {
            open.push(name);
        }
    }
    if open.is_empty() { Ok(texts) } else { Err(format!("never closed: {open:?}")) }
}

/// A report with markup wherever a text from outside can stand.
fn hostile() -> Report {
    let evil = "</script><img src=x onerror=\"alert('1')\"> & \u{0}\u{1}bad\u{1}";
    let mut report = sample::report(30, 1.0);
    for text in [
        &mut report.scenario_name,
        &mut report.target,
        &mut report.adapter,
        &mut report.started_at,
        &mut report.harness_version,
        &mut report.machine.cpu,
        &mut report.phases[0].name,
    ] {
        evil.clone_into(text);
    }
    evil.clone_into(&mut report.phases[1].name);
    report.server_version = Some(evil.to_owned());
    report.commit = Some(evil.to_owned());
    report.scenario = serde_json::json!({ evil: [evil] });
    report.notes.push(evil.to_owned());
    report.other_machines.push(report.machine.clone());
    report.verdict.fault(evil, || evil.to_owned());
    report.verdict.trouble(evil, 3);
    report.verdict.checked.insert(evil.to_owned(), 1);
    report.verdict.not_checked.push(evil.to_owned());
    report.validity.reasons.push(evil.to_owned());
    report.expectations.push(Expectation { name: evil.to_owned(), unit: evil.to_owned(), ..Expectation::default() });
    let phase = &mut report.phases[1];
    phase.refused.insert(evil.to_owned(), 1);
    phase.counts.insert(evil.to_owned(), 1);
    let times = phase.ack.clone();
    phase.extra.insert(evil.to_owned(), times);
    for second in &mut report.timeline {
        let server = second.server.as_mut().unwrap();
        server.by_thread.insert(evil.to_owned(), 0.3);
        let shard = server.shards["0"].clone();
        server.shards.insert(evil.to_owned(), shard);
    }
    report
}

#[test]
fn the_page_is_well_formed_and_shows_what_is_there() {
    let page = page(&sample::report(30, 1.0));
    let text = well_formed(&page).unwrap().join(" ");
    for part in ["PASSED", "rooms of 1000", "Delivery latency", "CPU of the server by thread", "Memory of the server"] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("NaN") && !page.contains("inf\""), "a number that is none");
    assert!(page.matches("<svg").count() >= 12, "each chart in two widths");
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let page = page(&hostile());
    let text = well_formed(&page).unwrap().join(" ");
    assert!(!page.contains("<img") && !page.contains("<script") && page.contains("&lt;img"));
    assert!(text.contains("FAILED") && text.contains("Why it failed"));
    assert!(!page.chars().any(|letter| letter.is_control() && letter != '\n'));
}

#[test]
fn it_needs_nothing_from_elsewhere() {
    let page = page(&sample::report(10, 1.0));
    for word in ["<script", "<link", "@import", "url(", " src=", "http://", "https://"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn reports_with_little_in_them_have_a_page_too() {
    let empty = Report::default();
    well_formed(&page(&empty)).unwrap();
    let mut bare = sample::report(1, 1.0);
    bare.timeline.clear();
    bare.phases[1].server = None;
    well_formed(&page(&bare)).unwrap();
}

#[test]
fn a_soak_of_hours_does_not_make_a_large_page() {
    let mut long = sample::report(30, 1.0);
    let last = long.timeline.last().unwrap().clone();
    for second in 0..7200_u32 {
        long.timeline.push(super::super::Sample { t: last.t + f64::from(second), ..last.clone() });
    }
    long.phases[1].seconds += 7200.0;
    let page = page(&long);
    well_formed(&page).unwrap();
    assert!(page.len() < 600_000, "{} bytes", page.len());
}

#[test]
fn the_rules_see_what_they_are_for() {
    for bad in ["<p>a < b</p>", "<p>a & b</p>", "<p><b></p></b>", "<p>", "<p a=b></p>", "<p a=\"1\" a=\"2\"></p>"] {
        assert!(well_formed(&format!("<!DOCTYPE html>\n{bad}")).is_err(), "{bad}");
    }
    assert!(well_formed("<!DOCTYPE html>\n<p a=\"1\">a &amp; b<br/></p>").is_ok());
    assert_eq!(escape("a<b>&\"'\u{7}"), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}");
}
