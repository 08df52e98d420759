//! What only the embedded store promises: it survives its process, lets nobody else in, knows its key, keeps nothing readable, and
//! outlives a full disk.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use causerie::base::{RoomType, Seq, WallTime};
use causerie::store::driver::{Driver, DriverSettings};
use causerie::store::embedded::{self, Embedded, MasterKeySource};
use causerie::store::{Backend, Failure, Query, RoomWrite, Span, UserWrite, Write};
use tempfile::TempDir;

use crate::kit::*;

/// A room with messages and a user with everything.
pub fn fill(store: &dyn Backend) {
    let (ann, id) = (user_id(1), room_id(1));
    let user = UserWrite {
        sessions: vec![session(ann, 1, 10)],
        devices: vec![device(ann, 1)],
        stream: vec![entry(ann, 1), entry(ann, 2)],
        name: take(name(1)),
        ..create_user(ann)
    };
    assert_eq!(store.one(user), DONE);
    for (n, kind) in [(1, RoomType::Private), (2, RoomType::Public)] {
        let (key, n) = (name(10 + n), u128::from(n));
        let members = vec![member(room_id(n), ann, 1, None)];
        let write = RoomWrite { members, name: take(key), ..create_room(room_id(n), kind) };
        assert_eq!(store.one(write), DONE);
    }
    assert_eq!(store.one(messages(id, 1, 20)), DONE);
    assert_eq!(store.one(Write::Setting { name: "mark".to_owned(), value: Some(b"value".to_vec()) }), DONE);
}

/// All that `fill` wrote, as text, to be compared.
pub fn look(store: &dyn Backend) -> Result<String, Failure> {
    let queries = [
        Query::Rooms { rooms: vec![room_id(1), room_id(2)], answered_since: WallTime(0), answered_max: 99 },
        Query::Events { room: room_id(1), span: Span::Newest, limit: 99, bytes_max: usize::MAX },
        Query::Events { room: room_id(2), span: Span::Newest, limit: 2000, bytes_max: usize::MAX },
        Query::Answered { room: room_id(1), user: user_id(1), client_id: client_id(3) },
        Query::User(user_id(1)),
        Query::UserByName(name(1)),
        Query::FindUsers { text: String::new(), after: None, limit: 9 },
        Query::ListRooms { user: user_id(1), after: None, limit: 9 },
        Query::ListRooms { user: user_id(9), after: None, limit: 9 },
        Query::Stream { user: user_id(1), after: Seq(0), limit: 9 },
        Query::Setting("mark".to_owned()),
    ];
    let answers: Result<Vec<_>, _> = queries.iter().map(|query| store.read(query)).collect();
    Ok(format!("{:#?}", answers?))
}

fn sound(dir: &Path) -> embedded::Report {
    let report = embedded::inspect(dir, &MasterKeySource::DataDir).unwrap();
    assert_eq!(report.problems, [""; 0]);
    report
}

#[test]
fn everything_is_there_after_a_clean_end_and_the_check_finds_nothing_wrong() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).unwrap();
    fill(&store);
    let before = look(&store).unwrap();
    let key = store.name_key(causerie::store::NameKind::User, "ann");
    drop(store);
    let report = sound(dir.path());
    assert_eq!((report.rooms, report.events, report.users, report.unclean_end), (2, 20, 1, false));
    let store = open(&dir).unwrap();
    assert_eq!(look(&store).unwrap(), before);
    assert_eq!(store.name_key(causerie::store::NameKind::User, "ann"), key);
    assert_eq!(store.one(messages(room_id(1), 21, 22)), DONE);
    // Trimmed, rewritten, removed: still sound.
    store.one(Write::Trim { room: room_id(1), up_to: Seq(5), limit: 9 });
    assert_eq!(
        store.one(RoomWrite { rewritten: vec![message(room_id(1), 9, user_id(7), "x")], ..RoomWrite::new(room_id(1)) }),
        DONE
    );
    drop(store);
    assert_eq!(sound(dir.path()).events, 17);
}

#[test]
fn a_second_process_is_told_who_has_the_data() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).unwrap();
    for refused in [open(&dir).err(), embedded::inspect(dir.path(), &MasterKeySource::DataDir).err()] {
        let Some(Failure::Unavailable(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains(&format!("another process with the id {}", std::process::id())), "{text}");
        assert!(text.contains(&dir.path().display().to_string()), "{text}");
    }
    drop(store);
    assert!(open(&dir).is_ok());
}

#[test]
fn the_master_key_is_made_once_for_its_owner_and_a_wrong_or_missing_one_is_named() {
    let dir = TempDir::new().unwrap();
    let key_file = dir.path().join(embedded::KEY_FILE);
    fill(&open(&dir).unwrap());
    assert_eq!(std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(dir.path().join("store.redb")).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&key_file).unwrap();
    assert_eq!(key.len(), 65);

    let refused = |what: &str| {
        let Err(Failure::Unavailable(text)) = open(&dir) else { panic!("it opened without {what}") };
        assert!(text.contains(what), "{text}");
    };
    std::fs::write(&key_file, "00".repeat(32)).unwrap();
    refused("not the master key");
    std::fs::write(&key_file, "not a key").unwrap();
    refused("64 hexadecimal digits");
    std::fs::remove_file(&key_file).unwrap();
    refused("is missing");
    assert!(!key_file.exists(), "a new key would hide the loss");

    // The same key from elsewhere.
    let file = dir.path().join("elsewhere");
    std::fs::write(&file, &key).unwrap();
    for source in [MasterKeySource::File(file), MasterKeySource::Command(format!("echo {key}"))] {
        let store = Embedded::open(dir.path(), &source, settings()).unwrap();
        assert_eq!(store.events(room_id(1), Span::Newest, 1)[0].content, "text 20");
    }
    for source in [
        MasterKeySource::File(dir.path().join("nothing")),
        MasterKeySource::Command("exit 3".to_owned()),
        MasterKeySource::Command("echo".to_owned()),
        MasterKeySource::Environment("CAUSERIE_NO_SUCH_VARIABLE".to_owned()),
    ] {
        let result = Embedded::open(dir.path(), &source, settings());
        assert!(matches!(result, Err(Failure::Unavailable(_))), "{source:?}");
    }
}

#[test]
fn a_newer_format_is_refused_in_words() {
    let dir = TempDir::new().unwrap();
    fill(&open(&dir).unwrap());
    let database = redb::Database::open(dir.path().join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        let newer = (u64::from(embedded::FORMAT + 1)) | (u64::from(!(embedded::FORMAT + 1)) << 32);
        transaction.open_table(meta).unwrap().insert("format", newer.to_le_bytes().as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    for refused in [open(&dir).err(), embedded::inspect(dir.path(), &MasterKeySource::DataDir).err()] {
        let Some(Failure::Unavailable(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("newer causerie (format 2"), "{text}");
    }
}

const BODY_HASH: u64 = 0x6d5a_93c1_e7f2_48b5;

#[test]
fn no_planted_sentence_is_found_in_the_data_directory() {
    const PLANTED: [&str; 9] = [
        "sentence-in-a-message",
        "sentence-in-metadata",
        "sentence-as-private-name",
        "sentence-as-private-description",
        "sentence-as-private-metadata",
        "sentence-as-username",
        "sentence-as-display-name",
        "sentence-as-subject",
        "sentence-in-a-setting",
    ];
    let dir = TempDir::new().unwrap();
    let store = open(&dir).unwrap();
    let (ann, id) = (user_id(1), room_id(1));
    let mut record = user(ann);
    record.username = PLANTED[5].to_owned();
    record.display_name = PLANTED[6].to_owned();
    record.external = Some(("issuer".to_owned(), PLANTED[7].to_owned()));
    let key = store.name_key(causerie::store::NameKind::User, PLANTED[5]);
    assert_eq!(store.one(UserWrite { record: Some(record), name: take(key), ..create_user(ann) }), DONE);
    for (n, kind) in [(1, RoomType::Private), (2, RoomType::Direct)] {
        let mut record = room(room_id(n), kind);
        (record.name, record.description) = (PLANTED[2].to_owned(), PLANTED[3].to_owned());
        record.metadata = PLANTED[4].to_owned();
        assert_eq!(store.one(RoomWrite { record: Some(record), ..create_room(room_id(n), kind) }), DONE);
    }
    let mut public = room(room_id(3), RoomType::Public);
    public.name = "readable-name-of-a-public-room".to_owned();
    assert_eq!(store.one(RoomWrite { record: Some(public), ..create_room(room_id(3), RoomType::Public) }), DONE);
    for room in [id, room_id(3)] {
        let mut event = message(room, 1, ann, PLANTED[0]);
        event.metadata = PLANTED[1].to_owned();
        // No number that stands in any file by chance.
        let answered = vec![causerie::store::Answered { body_hash: BODY_HASH, ..answered(&event) }];
        assert_eq!(store.one(RoomWrite { events: vec![event], answered, ..RoomWrite::new(room) }), DONE);
    }
    let value = Some(PLANTED[8].as_bytes().to_vec());
    assert_eq!(store.one(Write::Setting { name: "name".to_owned(), value }), DONE);
    assert_eq!(store.events(id, Span::Newest, 1)[0].content, PLANTED[0]);
    drop(store);

    let mut bytes = Vec::new();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"readable-name-of-a-public-room"), "the search itself works");
    for planted in PLANTED {
        assert!(!holds(planted.as_bytes()), "{planted}");
    }
    // A hash of a short text would give it away as well.
    assert!(!holds(&BODY_HASH.to_le_bytes()) && !holds(&BODY_HASH.to_be_bytes()));
}

const CHILD: &str = "CAUSERIE_STORE_TEST_CHILD";

/// Not a test by itself: what `a_killed_process…` starts.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let store = Embedded::open(Path::new(&dir), &MasterKeySource::DataDir, settings()).unwrap();
    if store.room(room_id(1)).is_none() {
        assert_eq!(store.one(create_room(room_id(1), RoomType::Private)), DONE);
    }
    let mut seq = store.room(room_id(1)).unwrap().head.seq.0;
    let mut out = std::io::stdout();
    loop {
        assert_eq!(store.one(messages(room_id(1), seq + 1, seq + 3)), DONE);
        seq += 3;
        writeln!(out, "acked {seq}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_reported() {
    let dir = TempDir::new().unwrap();
    let mut acked = 0;
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["embedded::child_that_writes_until_it_is_killed", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < round * 7 {
            let line = lines.next().expect("it goes on").unwrap();
            if let Some(seq) = line.split("acked ").nth(1) {
                acked = seq.parse().unwrap();
                seen += 1;
            }
        }
        child.kill().unwrap();
        // What it said before it died counts too.
        for line in lines {
            if let Some(seq) = line.unwrap().split("acked ").nth(1).and_then(|seq| seq.parse().ok()) {
                acked = seq;
            }
        }
        child.wait().unwrap();
        if round % 2 == 0 {
            sound(dir.path());
        }
        let store = open(&dir).unwrap();
        let head = store.room(room_id(1)).unwrap().head.seq.0;
        assert!(head >= acked, "acked {acked}, found {head}");
        assert_eq!(head % 3, 0, "half a write is there");
        assert_eq!(store.seqs(room_id(1), Span::Newest, 100_000), (1..=head).collect::<Vec<_>>());
        acked = head;
    }
    assert!(acked >= 3 * (7 + 14 + 21 + 28 + 35));
}

#[test]
fn many_writers_and_readers_through_the_driver_agree_at_the_end() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(&dir).unwrap());
    for n in 0..4 {
        assert_eq!(store.one(create_room(room_id(n), RoomType::Public)), DONE);
    }
    let driver = Driver::start(Arc::clone(&store) as Arc<dyn Backend>, DriverSettings::default()).unwrap();
    let threads: Vec<_> = (0..4u128)
        .map(|n| {
            let driver = driver.clone();
            std::thread::spawn(move || {
                let (to, answers) = std::sync::mpsc::channel();
                for seq in 1..=300 {
                    let to = to.clone();
                    let write = write_of(messages(room_id(n), seq, seq));
                    let op = causerie::shard::StoreOp::Write(write);
                    driver.submit(op, Box::new(move |result| to.send((seq, result)).unwrap())).unwrap();
                    if seq % 10 == 0 {
                        let query = Query::Events { room: room_id(n), span: Span::Newest, limit: 9, bytes_max: 9999 };
                        driver
                            .submit(
                                causerie::shard::StoreOp::Read(query),
                                Box::new(|result| {
                                    assert!(matches!(result, causerie::shard::StoreResult::Read(Ok(_))));
                                }),
                            )
                            .unwrap();
                    }
                }
                drop(to);
                let mut expected = 1;
                for (seq, result) in answers {
                    assert_eq!(seq, expected);
                    assert!(matches!(result, causerie::shard::StoreResult::Written(Ok(_))), "{result:?}");
                    expected += 1;
                }
                assert_eq!(expected, 301);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    driver.drain();
    let numbers = driver.numbers();
    assert_eq!((numbers.writes, numbers.reads, numbers.reads_failed), (1200, 120, 0));
    assert!(numbers.commits < 1200, "nothing was ever gathered");
    assert!(numbers.size_bytes > 0);
    for n in 0..4 {
        assert_eq!(store.seqs(room_id(n), Span::Newest, 1000), (1..=300).collect::<Vec<_>>());
    }
    drop((driver, store));
    sound(dir.path());
}

/// A small file system of its own, unmounted when it goes out of scope. `None` where we may not mount.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    pub fn new(bytes: usize) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(dir))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_writes_goes_on_reading_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::new(6 * 1024 * 1024) else {
        eprintln!("skipped: no right to mount a small file system (run as root)");
        return;
    };
    let dir = disk.0.path();
    let store = Embedded::open(dir, &MasterKeySource::DataDir, settings()).unwrap();
    fill(&store);
    let mut head = 20;
    for round in 0..3 {
        let ballast = dir.join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        drop(file);
        let long = "x".repeat(4000);
        let write = |seq| {
            let mut write = messages(room_id(1), seq, seq + 20);
            write.events.iter_mut().for_each(|event| event.content.clone_from(&long));
            write
        };
        // What fits into holes of the file still goes through.
        let refused = loop {
            match store.write_each(vec![write_of(write(head + 1))]) {
                Ok(results) => {
                    assert_eq!(results, [Ok(DONE)]);
                    head += 21;
                }
                Err(failure) => break failure,
            }
        };
        assert!(matches!(refused, Failure::Unavailable(_)) && refused.ambiguous(), "{refused}");
        for _ in 0..3 {
            assert!(matches!(store.write_each(vec![write_of(write(head + 1))]), Err(Failure::Unavailable(_))));
            // Reads go on.
            assert_eq!(store.room(room_id(1)).unwrap().members.len(), 1);
            assert_eq!(store.seqs(room_id(1), Span::Newest, 100_000), (1..=head).collect::<Vec<_>>());
        }
        std::fs::remove_file(&ballast).unwrap();
        // By itself, within a time that only a broken store exceeds.
        let began = std::time::Instant::now();
        loop {
            match store.write_each(vec![write_of(messages(room_id(1), head + 1, head + 1))]) {
                Ok(results) => break assert_eq!(results, [Ok(DONE)], "round {round}"),
                Err(failure) => assert!(began.elapsed().as_secs() < 60, "{failure}"),
            }
            std::thread::yield_now();
        }
        head += 1;
        assert_eq!(store.seqs(room_id(1), Span::Newest, 100_000), (1..=head).collect::<Vec<_>>());
    }
    drop(store);
    sound(dir);
}
