//! All members of a room see its events in one order, that of seq, over several shards and many rooms.

use std::thread;

use causerie_load::check::{self, Evidence, Sent};
use uuid::Uuid;

use crate::support::transcript::{answers, view};
use crate::support::{Person, Setup, Socket};

const PEOPLE: usize = 6;
const MESSAGES: usize = 60;

#[test]
fn everybody_sees_the_same_in_the_same_order_over_four_shards() {
    let server =
        Setup::default().shards(4).set("limits.messages_per_second", 1000).set("limits.messages_burst", 1000).start();
    let people: Vec<Person> = (0..PEOPLE).map(|n| server.person(&format!("p{n}"))).collect();
    let rooms: Vec<Uuid> = (0..3).map(|n| people[0].room(&format!("room {n}"), "public")).collect();
    for person in &people[1..] {
        rooms.iter().for_each(|&room| person.join(room));
    }
    let after = people[0].page(rooms[0], "limit=1")["last_seq"].as_u64().expect("a seq");

    // Everybody talks at once, in all rooms in turn, without waiting for answers.
    let mut sockets: Vec<Socket> = people.iter().map(Person::connect).collect();
    let sent: Vec<Vec<(Uuid, Uuid)>> = thread::scope(|scope| {
        let threads: Vec<_> = sockets
            .iter_mut()
            .map(|socket| {
                let rooms = &rooms;
                scope.spawn(move || {
                    (0..MESSAGES)
                        .map(|n| {
                            let (room, id) = (rooms[n % rooms.len()], Uuid::now_v7());
                            socket.send(&crate::support::socket::chat(room, id, &format!("{id} number {n}")));
                            (room, id)
                        })
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().expect("a thread")).collect()
    });
    // Everybody waits for all own answers and for every message of the others.
    for (n, socket) in sockets.iter_mut().enumerate() {
        for (_, id) in &sent[n] {
            let answer = socket.answer(*id);
            assert_eq!(answer["type"], "ack", "{answer}");
        }
        let others = (PEOPLE - 1) * MESSAGES;
        let come = |s: &Socket| rooms.iter().map(|&r| s.messages(r).len()).sum::<usize>();
        while come(socket) < others {
            socket.expect("more messages", |f| f["type"] == "chat");
        }
        socket.fence();
    }

    let mut evidence = Evidence::default();
    for &room in &rooms {
        let log = causerie_load::run::read_log(&mut server.http(), &people[0].token, room).expect("the log");
        evidence.logs.insert(room, log);
    }
    for (n, socket) in sockets.iter().enumerate() {
        evidence.answers.extend(answers(&socket.seen));
        for &room in &rooms {
            let until = evidence.logs[&room].entries.last().map(|e| e.seq);
            evidence.views.push(view(&format!("p{n}"), room, after, until, &socket.seen));
            let keys = sent[n].iter().filter(|(r, _)| *r == room).map(|(_, id)| *id).collect();
            evidence.sent.push(Sent { who: format!("p{n}"), room, keys });
        }
    }
    assert_eq!(check::check(&evidence), []);
    let messages: usize =
        evidence.logs.values().map(|log| log.entries.iter().filter(|e| e.key.is_some()).count()).sum();
    assert_eq!(messages, PEOPLE * MESSAGES);
}
