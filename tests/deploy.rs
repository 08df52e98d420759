//! What lies in `deploy/` agrees with the server: every metric and label in the dashboard and the alerts is one that it has, the
//! expressions are understood by Prometheus' own tool, every alert has a case in which it fires and one in which it does not, and a place
//! in the manual; limits are as large as the defaults ask for.
//!
//! promtool comes from `scripts/setup test` (or the PATH).

#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use causerie::metrics::expose::{Numbers, render};
use causerie::metrics::process::Process;
use causerie::metrics::{Counters, Snapshot};
use causerie::store::driver::{Driver, DriverSettings};
use causerie::store::memory::Memory;
use causerie::top::page::Page;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// The server's page in which every family has a sample with all its labels.
fn page() -> Page {
    let mut snapshot = Snapshot::default();
    let counters = &mut snapshot.counters;
    for map in [
        &mut counters.connections_closed,
        &mut counters.frames_received,
        &mut counters.refused,
        &mut counters.store_failures,
    ] {
        Counters::count(map, "something");
    }
    Counters::count(&mut counters.shed, ("kind", "reason"));
    snapshot.shell.http_requests.insert(200, 1);
    let driver = Driver::start(std::sync::Arc::new(Memory::new([0; 32])), DriverSettings::default()).unwrap();
    let mut store = driver.numbers();
    store.size_bytes = 1;
    driver.drain();
    let shards = [snapshot];
    let numbers = Numbers {
        shards: &shards,
        process: Process { thread_cpu_seconds: BTreeMap::from([("shard-0".to_owned(), 1.0)]), ..Process::default() },
        certificate_ends: Some(1),
        store: Some(&store),
        ..Numbers::default()
    };
    Page::parse(&render(&numbers)).unwrap()
}

/// Series and their labels.
fn series() -> BTreeMap<String, BTreeSet<String>> {
    let page = page();
    let labels =
        |name: &str| page.series(name).flat_map(|(labels, _)| labels.iter().map(|(label, _)| label.clone())).collect();
    page.names().map(|name| (name.to_owned(), labels(name))).collect()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What Prometheus adds to every series.
const ADDED: [&str; 2] = ["instance", "job"];

/// What is wrong with the names and labels of an expression. `legend`: labels that its legend names.
fn wrong(expression: &str, legend: &str, series: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: BTreeSet<&str> = ADDED.into_iter().collect();
    let mut found = 0;
    for (at, _) in expression.match_indices("causerie_") {
        if expression[..at].ends_with(is_name) {
            continue;
        }
        found += 1;
        let name: String = expression[at..].chars().take_while(|c| is_name(*c)).collect();
        let Some(labels) = series.get(&name) else {
            wrong.push(format!("there is no series {name}"));
            continue;
        };
        known.extend(labels.iter().map(String::as_str));
        let Some(matchers) = expression[at + name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}'))
        else {
            continue;
        };
        for matcher in matchers.0.split(',').filter(|matcher| !matcher.is_empty()) {
            let label: String = matcher.chars().take_while(|c| is_name(*c)).collect();
            if !labels.contains(&label) && !ADDED.contains(&label.as_str()) {
                wrong.push(format!("{name} has no label {label}"));
            }
        }
    }
    let up = expression.contains("up{");
    if found == 0 && !up {
        wrong.push("it names no metric of ours".to_owned());
    }
    let groups = ["by (", "on ("]
        .into_iter()
        .flat_map(|word| expression.split(word).skip(1))
        .filter_map(|rest| rest.split(')').next());
    let legends = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    for label in groups.flat_map(|group| group.split(',')).chain(legends).map(str::trim) {
        if !known.contains(label) {
            wrong.push(format!("no metric in it has the label {label}"));
        }
    }
    wrong
}

/// The expressions of the dashboard with the titles and legends.
fn dashboard() -> Vec<(String, String, String)> {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/causerie.json")).expect("JSON");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push((word(&panel["title"]), word(&target["expr"]), word(&target["legendFormat"])));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        all.push((word(&annotation["name"]), word(&annotation["expr"]), word(&annotation["titleFormat"])));
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let query = word(&variable["query"]["query"]);
        if let Some(inner) = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')) {
            let (metric, label) = inner.split_once(", ").expect("a metric and a label");
            all.push((word(&variable["name"]), metric.to_owned(), format!("{{{{{label}}}}}")));
        }
    }
    all
}

/// One alert as it stands in the file.
struct Alert {
    name: String,
    expression: String,
    text: String,
}

fn alerts() -> Vec<Alert> {
    let file = text("deploy/prometheus/alerts.yml");
    let each = file.split("      - alert: ").skip(1);
    each.map(|alert| {
        let name = alert.lines().next().unwrap().to_owned();
        let (_, rest) = alert.split_once("expr: >-\n").expect("an expression in a block of its own");
        let lines: Vec<&str> = rest.lines().take_while(|line| line.starts_with("          ")).map(str::trim).collect();
        Alert { name, expression: lines.join(" "), text: alert.to_owned() }
    })
    .collect()
}

#[test]
fn the_dashboard_names_what_is_there() {
    let (series, expressions) = (series(), dashboard());
    assert!(expressions.len() > 60, "only {} expressions were found", expressions.len());
    let all: Vec<String> = (expressions.iter())
        .flat_map(|(title, expression, legend)| {
            wrong(expression, legend, &series).into_iter().map(move |what| format!("{title}: {what}: {expression}"))
        })
        .collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn the_dashboard_leaves_nothing_out() {
    let shown: String = dashboard().into_iter().map(|(_, expression, _)| expression + "\n").collect();
    let names = series().into_keys().filter(|name| !name.ends_with("_bucket") && !name.ends_with("_count"));
    let family = |name: &str| name.strip_suffix("_sum").unwrap_or(name).to_owned();
    let hidden: Vec<String> = names.map(|name| family(&name)).filter(|name| !shown.contains(name.as_str())).collect();
    assert_eq!(hidden, [""; 0], "on no panel");
}

#[test]
fn alerts_name_what_is_there_and_stand_in_the_manual() {
    let (series, alerts, manual) = (series(), alerts(), text("docs/operations.md"));
    assert!(alerts.len() > 15, "only {} alerts were found", alerts.len());
    for Alert { name, expression, text } in &alerts {
        assert_eq!(wrong(expression, "", &series), [""; 0], "{name}: {expression}");
        for part in ["summary: ", "description: ", "severity: "] {
            assert!(text.contains(part), "{name} has no {part}");
        }
        let runbook = format!("runbook: docs/operations.md#{}\n", name.to_lowercase());
        assert!(text.contains(&runbook), "{name} does not say {runbook}");
        assert!(manual.lines().any(|line| line == format!("### {name}")), "docs/operations.md has no section {name}");
    }
    let sections = manual.lines().filter_map(|line| line.strip_prefix("### Causerie"));
    for section in sections {
        assert!(alerts.iter().any(|alert| alert.name == format!("Causerie{section}")), "no alert {section}");
    }
}

#[test]
fn each_alert_is_tried_both_ways() {
    let file = text("deploy/prometheus/alerts.test.yml");
    for Alert { name, .. } in alerts() {
        for (way, expected) in [("fires", "exp_alerts:\n"), ("stays silent", "exp_alerts: []\n")] {
            let case = file.split("  - name: ").find(|case| case.starts_with(&format!("{name} {way}\n")));
            let case = case.unwrap_or_else(|| panic!("no case in which {name} {way}"));
            assert!(case.contains(&format!("alertname: {name}\n")) && case.contains(expected), "{name} {way}:\n{case}");
        }
    }
    promtool(&["test", "rules", "deploy/prometheus/alerts.test.yml"]);
}

#[test]
fn prometheus_understands_all_of_it() {
    promtool(&["check", "rules", "deploy/prometheus/alerts.yml"]);
    let folder = tempfile::tempdir().unwrap();
    // The example names its rules and certificate beside itself.
    for file in ["prometheus.yml", "alerts.yml"] {
        std::fs::copy(root().join("deploy/prometheus").join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("causerie-cert.pem"), "").unwrap();
    promtool(&["check", "config", folder.path().join("prometheus.yml").to_str().unwrap()]);
    // The dashboard's expressions as rules, with what Grafana would put into them.
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (at, (_, expression, _)) in dashboard().into_iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
        let _ = write!(rules, "      - record: panel_{at}\n        expr: {}\n", Value::String(expression));
    }
    let file = folder.path().join("dashboard.yml");
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

fn promtool(arguments: &[&str]) {
    let ours = root().join(".cache/promtool");
    let program = if ours.exists() { ours.as_path() } else { Path::new("promtool") };
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    let output = output.unwrap_or_else(|why| panic!("promtool does not run ({why}): scripts/setup test gets it"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {arguments:?}:\n{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_unit_gives_what_the_defaults_ask_for() {
    let default: toml::Table = text("config/default.toml").parse().unwrap();
    let set = |section: &str, key: &str| default[section][key].as_integer().unwrap();
    let unit = text("deploy/systemd/causerie.service");
    let of_unit = |key: &str| -> i64 {
        let line =
            unit.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap_or_else(|| panic!("no {key}"));
        line.parse().unwrap_or_else(|_| panic!("{key}={line}"))
    };
    // As the doctor reckons: 256 files of the server's own.
    let files = set("limits", "connections") + 256;
    assert!(of_unit("LimitNOFILE") >= files);
    assert!(of_unit("TimeoutStopSec") * 1000 > set("drain", "deadline_ms"));
    let limits = text("deploy/limits.d/causerie.conf");
    let hard = limits.lines().find_map(|line| line.strip_prefix("causerie hard nofile ")).unwrap();
    assert!(hard.parse::<i64>().unwrap() >= files);
    assert!(unit.contains("\nLimitMEMLOCK=infinity\n") && limits.contains("causerie hard memlock unlimited\n"));
}

#[test]
fn what_is_wrong_is_found() {
    let series = series();
    for (expression, legend, what) in [
        ("causerie_connection_active", "", "no series causerie_connection_active"),
        ("rate(causerie_turn_seconds[5m])", "", "no series causerie_turn_seconds"),
        ("causerie_store_size_bytes{shard=\"0\"}", "", "no label shard"),
        ("sum by (shard) (causerie_store_size_bytes)", "", "no metric in it has the label shard"),
        ("causerie_connections_active", "{{code}}", "no metric in it has the label code"),
        ("vector(1)", "", "no metric of ours"),
    ] {
        let found = wrong(expression, legend, &series);
        assert!(matches!(&found[..], [one] if one.contains(what)), "{expression}: {found:?}");
    }
    let fine = "histogram_quantile(0.9, sum by (le, shard) (rate(causerie_turn_seconds_bucket{instance=~\"a\"}[5m])))";
    assert_eq!(wrong(fine, "{{shard}}", &series), [""; 0]);
}
