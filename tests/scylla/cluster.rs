//! Three nodes, every row on all three, two of them enough (`LOCAL_QUORUM`): one goes down and comes back under load, and nobody notices.
//!
//! Run by `make test-cluster` alone: three nodes take two gigabytes of memory and a minute to start.

use super::faults::on;
use super::load::under_load;
use super::support::database::Nodes;

#[test]
#[ignore = "three nodes: make test-cluster"]
fn one_node_of_three_goes_down_and_comes_back_under_load() {
    let nodes = Nodes::start(&["--nodes", "3"]);
    let server = on(&nodes.contacts.join(","), 3).start();
    let (tally, _) = under_load(&server, 6, |tally, _| {
        tally.more_acks("with three nodes", 200);
        for (verb, which) in [("kill", 2), ("down", 1)] {
            eprintln!("{} acks, {} refusals; node {which}: {verb}", tally.acked(), tally.refused());
            nodes.node(which, verb);
            tally.more_acks(&format!("with node {which} gone"), 300);
            eprintln!("{} acks, {} refusals; node {which}: up", tally.acked(), tally.refused());
            nodes.node(which, "up");
            tally.more_acks(&format!("with node {which} back"), 200);
        }
        // What the third one missed meanwhile is on the other two: now one of those is needed no more.
        nodes.node(3, "kill");
        tally.more_acks("with node 3 gone", 300);
    });
    eprintln!("one node of three down, twice: {} sends were put off", tally.refused());
}
