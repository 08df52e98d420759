//! One node of the database, with a proxy before it that makes the faults; and the node itself hanging, killed, and started again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::load::{Tally, under_load};
use super::support::database::{self, Nodes};
use super::support::proxy::{Proxy, connections_to};
use super::support::{Person, Server, Setup, Socket, wait_out};

/// More than all tries of a statement and a renewal of the lease take in the settings below: what is to come of a fault has come.
const LONG: Duration = Duration::from_secs(5);

/// A node of a test's own, a proxy before it, and a server that knows only the proxy.
struct Stage {
    server: Server,
    proxy: Proxy,
    nodes: Nodes,
}

impl Stage {
    fn new() -> Self {
        // One node alone, which may be killed: it has to be as careful as the embedded store.
        let nodes = Nodes::start(&["--proxied", "--durable"]);
        let proxy = Proxy::between(&nodes.advertised[0], &nodes.contacts[0]);
        let server = on(&nodes.advertised.join(","), 1).start();
        Self { server, proxy, nodes }
    }
}

/// A server on this database, with a keyspace of its own and short times.
pub fn on(nodes: &str, replicas: usize) -> Setup {
    Setup::default()
        .scylla(nodes, &database::keyspace(), replicas)
        .set("store.scylla.request_timeout_ms", 1000)
        .set("store.scylla.give_up_ms", 2000)
        .set("limits.messages_per_second", 100_000)
        .set("limits.messages_burst", 100_000)
}

/// Two people who only use what is in memory.
struct Bystanders {
    ann: Person,
    anns: Socket,
    bob: Person,
    bobs: Socket,
    room: Uuid,
}

impl Bystanders {
    fn new(server: &Server) -> Self {
        let (ann, bob) = (server.person("ann"), server.person("bob"));
        let room = ann.room("Garden", "public");
        bob.join(room);
        let (mut anns, bobs) = (ann.connect(), bob.connect());
        anns.chat(room, "a message to be read again");
        anns.send(&json!({"type": "presence", "metadata": {"watch": [room]}}));
        Self { ann, anns, bob, bobs, room }
    }

    /// Typing, presence and the newest messages, whatever the database does.
    fn go_on(&mut self) {
        for active in [true, false] {
            self.anns.send(&json!({"type": "typing", "room_id": self.room, "metadata": {"active": active}}));
            let told = self.bobs.expect("typing", |f| f["type"] == "typing" && f["metadata"]["active"] == active);
            assert_eq!(told["user_id"], json!(self.ann.user_id));
        }
        for status in ["away", "online"] {
            self.bobs.send(&json!({"type": "presence", "metadata": {"status": status}}));
            let user = json!(self.bob.user_id);
            let is_it = |u: &Value| u["user_id"] == user && u["status"] == status;
            self.anns.expect("presence", |f| {
                f["type"] == "presence"
                    && f["metadata"]["users"].as_array().is_some_and(|users| users.iter().any(is_it))
            });
        }
        let newest = self.bobs.ask(json!({"type": "history", "room_id": self.room}));
        assert_eq!(newest["type"], "history", "{newest}");
        assert!(newest.to_string().contains("a message to be read again"), "{newest}");
    }
}

/// Load, and one fault after the other that refuses sends; each is healed, and after it sends are acked again.
fn weather(stage: &Stage, faults: &[(&str, &dyn Fn(&Stage), &dyn Fn(&Stage))]) -> Tally {
    let mut bystanders = Bystanders::new(&stage.server);
    let address = stage.nodes.advertised[0].clone();
    let (most, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(connections_to(&address), Ordering::Relaxed);
                wait_out(Duration::from_millis(5));
            }
        });
        // However it ends: the scope waits for the watch.
        let _done = Done(&done);
        let (tally, _) = under_load(&stage.server, 6, |tally, _| {
            tally.more_acks("before", 100);
            let before = connections_to(&address);
            assert!(before > 0, "nobody uses the proxy");
            for (name, begin, end) in faults {
                begin(stage);
                tally.more_refusals(&format!("while {name}"), 12);
                bystanders.go_on();
                wait_out(LONG);
                bystanders.go_on();
                end(stage);
                tally.more_acks(&format!("after {name}"), 100);
                let most = most.swap(0, Ordering::Relaxed);
                eprintln!(
                    "{name}: {} refusals up to now, {most} connections at most, {before} before",
                    tally.refused()
                );
                assert!(most <= before * 2, "{most} connections at once, where {before} are enough");
            }
        });
        tally
    })
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_connection_that_is_lost_is_made_anew() {
    let stage = Stage::new();
    weather(
        &stage,
        &[
            ("the way is cut", &|stage| stage.proxy.cut(), &|stage| stage.proxy.heal()),
            ("every connection is reset", &|stage| stage.proxy.reset(), &|stage| stage.proxy.heal()),
        ],
    );
}

#[test]
fn a_database_that_says_nothing_is_not_waited_for() {
    let stage = Stage::new();
    weather(
        &stage,
        &[
            ("nothing passes", &|stage| stage.proxy.black_hole(), &|stage| stage.proxy.heal()),
            ("the node hangs", &|stage| stage.nodes.node(1, "pause"), &|stage| stage.nodes.node(1, "resume")),
        ],
    );
}

#[test]
fn a_database_that_is_killed_comes_back_with_all_that_was_acked() {
    let stage = Stage::new();
    weather(&stage, &[("the node is dead", &|stage| stage.nodes.node(1, "kill"), &|stage| stage.nodes.node(1, "up"))]);
}

#[test]
fn a_slow_or_overloaded_database_is_slow_and_nothing_more() {
    let stage = Stage::new();
    let mut bystanders = Bystanders::new(&stage.server);
    under_load(&stage.server, 8, |tally, _| {
        tally.more_acks("before", 100);
        stage.proxy.slow(150, 50);
        tally.more_acks("while it is slow", 50);
        bystanders.go_on();
        stage.proxy.heal();
        tally.more_acks("after it was slow", 100);
        // Less passes than is sent: some are acked late, some refused, and nobody is left without an answer.
        stage.proxy.narrow(4);
        wait_out(LONG * 2);
        bystanders.go_on();
        stage.proxy.heal();
        tally.more_acks("after it was narrow", 200);
    });
}

#[test]
fn the_server_itself_is_killed_while_the_database_is_away() {
    let mut stage = Stage::new();
    let ann = stage.server.person("ann");
    let room = ann.room("Garden", "public");
    let mut anns = ann.connect();
    let acked: Vec<Value> = (0..20).map(|n| anns.chat(room, &format!("message {n}"))).collect();
    stage.proxy.black_hole();
    let open: Vec<Uuid> = (0..20).map(|n| anns.say(room, &format!("unknown {n}"))).collect();
    let refused = anns.answer(open[19]);
    assert_eq!(refused["type"], "error", "{refused}");
    stage.server.kill();
    stage.proxy.heal();
    stage.server.restart();
    let mut anns = ann.connect();
    // Each of the open ones is there once, or not at all; sent again each is there once.
    for (n, id) in open.iter().enumerate() {
        anns.send(&super::support::socket::chat(room, *id, &format!("unknown {n}")));
        assert_eq!(anns.answer(*id)["type"], "ack");
    }
    let log = causerie_load::run::read_log(&mut ann.http(), &ann.token, room).expect("the log");
    for ack in acked {
        assert!(log.entries.iter().any(|entry| json!(entry.seq) == ack["seq"]), "acked {ack} is gone");
    }
    let texts = ann.page(room, "limit=100")["messages"].to_string();
    for n in 0..20 {
        assert_eq!(texts.matches(&format!("\"unknown {n}\"")).count(), 1, "unknown {n}");
    }
}

#[test]
fn a_server_that_starts_before_its_database_waits_for_it() {
    let nodes = Nodes::start(&["--proxied"]);
    let proxy = Proxy::between(&nodes.advertised[0], &nodes.contacts[0]);
    proxy.cut();
    let server = thread::scope(|scope| {
        let starting = scope.spawn(|| on(&nodes.advertised[0], 1).start());
        wait_out(LONG);
        assert!(!starting.is_finished(), "it is ready without a database");
        proxy.heal();
        starting.join().expect("a server that is ready")
    });
    assert!(server.log().contains("trying again in"), "{}", server.log());
    let ann = server.person("ann");
    let room = ann.room("Garden", "public");
    ann.connect().chat(room, "here after all");
}
