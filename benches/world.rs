//! Shards in memory, driven as the pump drives them, with users who are in rooms and connected; nothing is left to chance.
//!
//! Measured is what the pure half does: frames in, `Shard::handle`, `finish_turn`, bytes out. Not measured: the store (in memory
//! here), handing batches from shard to shard, the clients.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use causerie::auth::Claims;
use causerie::auth::account::new_user;
use causerie::auth::token::{Signer, Verifier};
use causerie::base::limits::{Limits, WRITE_BYTES_MAX};
use causerie::base::time::Now;
use causerie::base::{ConnId, DeviceId, Moment, RoomId, Session, SessionId, ShardId, UserId, WallTime};
use causerie::shard::{Effects, Input, NameKeys, Opened, Placement, Setup, Shard, ShardMessage, StoreOp, StoreResult};
use causerie::store::memory::Memory;
use causerie::store::{Backend as _, UserWrite, Write};
use causerie::wire::websocket::{Event, Parser, WebSocketLimits};
use uuid::Uuid;

use crate::meter::{Meter, Res, ensure};
use crate::rows;

/// When the world begins, in milliseconds since 1970.
const WALL: u64 = 1_795_000_000_000;
/// How long a turn takes on the clocks of the world: short enough that rounds end before the first ping.
const TURN_US: u64 = 500;

/// One user with one connection.
pub struct Client {
    pub conn: ConnId,
    pub room: RoomId,
    parser: Parser,
}

struct Node {
    shard: Shard,
    effects: Effects,
    inbox: Vec<Input>,
}

/// The world.
pub struct World {
    signer: Signer,
    nodes: Vec<Node>,
    store: Memory,
    mono: u64,
    /// Each with its connection, room after room.
    pub clients: Vec<Client>,
    /// While set, all bytes that leave are kept for [`World::outputs`].
    pub keep: bool,
    outputs: Vec<(ConnId, Vec<u8>)>,
    out: Vec<u8>,
    dirty: Vec<ConnId>,
    /// Connections that were given bytes, and how many, since the last round began.
    pub written: u64,
    pub written_bytes: u64,
    ids: u64,
}

pub fn room_id(n: u64) -> RoomId {
    RoomId(Uuid::from_u128(u128::from(n + 1) << 100 | u128::from(n)))
}

pub fn user_id(n: u64) -> UserId {
    UserId(Uuid::from_u128(u128::from(n + 1) << 96 | u128::from(n)))
}

/// A user with a session, as a write.
fn somebody(n: u64) -> Write {
    let (user, at) = (user_id(n), WallTime(WALL - 1000));
    let session = Session {
        id: SessionId(user.0),
        user,
        device: DeviceId(user.0),
        created_at: at,
        used_at: at,
        expires_at: WallTime(u64::MAX),
        refresh_hash: [0; 32],
        previous_hash: [0; 32],
        ended_at: None,
        agent: String::new(),
    };
    let record = Some(new_user(user, format!("user{n}"), None, String::new(), at));
    Write::User(Box::new(UserWrite { record, create: true, sessions: vec![session], ..UserWrite::new(user) }))
}

impl World {
    /// `rooms` rooms of `size` users each, every user in one room and connected once, spread evenly over `shards` shards.
    pub fn new(shards: u16, rooms: u64, size: u64) -> Res<Self> {
        let members: Vec<Vec<u64>> = (0..rooms).map(|n| (n * size..(n + 1) * size).collect()).collect();
        Self::build(shards, rooms * size, &members)
    }

    /// One shard, `users` users, and all of them in each of `rooms` rooms.
    pub fn in_all_rooms(rooms: u64, users: u64) -> Res<Self> {
        let members: Vec<Vec<u64>> = (0..rooms).map(|_| (0..users).collect()).collect();
        Self::build(1, users, &members)
    }

    fn build(shards: u16, users: u64, rooms: &[Vec<u64>]) -> Res<Self> {
        let store = Memory::new([7; 32]);
        let mut writes: Vec<Write> = (0..users).map(somebody).collect();
        for (n, members) in (0..).zip(rooms) {
            let id = room_id(n);
            let write = rows::create(id, user_id(0), members.iter().map(|m| user_id(*m)));
            writes.push(Write::Room(Box::new(write)));
        }
        store.write(writes)?;

        let limits = Limits {
            messages_per_second: 1_000_000,
            messages_burst: 1_000_000,
            requests_per_second: 1_000_000,
            ..Limits::default()
        };
        let signer = Signer::from_seed([3; 32], 3_600_000)?;
        let verifier = Arc::new(Verifier::own(vec![signer.public()?])?);
        let placement = Placement::even(shards);
        let now = Now { mono: Moment(0), wall: WallTime(WALL) };
        let keys = Memory::new([7; 32]);
        let name_keys = NameKeys(Arc::new(move |kind, name| keys.name_key(kind, name)));
        let node = |id| {
            let setup = Setup {
                id: ShardId(id),
                placement: placement.clone(),
                limits: limits.clone(),
                verifier: Arc::clone(&verifier),
                name_keys: name_keys.clone(),
                retention_days: None,
                retention_sweep_ms: 3_600_000,
                seed: 1,
            };
            Node { shard: Shard::new(setup, now), effects: Effects::default(), inbox: Vec::new() }
        };
        let mut world = Self {
            signer,
            nodes: (0..shards).map(node).collect(),
            store,
            mono: 0,
            clients: Vec::new(),
            keep: true,
            outputs: Vec::new(),
            out: Vec::new(),
            dirty: Vec::new(),
            written: 0,
            written_bytes: 0,
            ids: 0,
        };
        for n in 0..users {
            let at = ShardId(u16::try_from(n % u64::from(shards))?);
            let room =
                (0..).zip(rooms).find(|(_, members)| members.contains(&n)).map_or(room_id(0), |(m, _)| room_id(m));
            let conn = world.connect(at, Some(user_id(n)), &mut Meter::default())?;
            world.clients.push(Client { conn, room, parser: Parser::new(WebSocketLimits::CHAT) });
        }
        world.settle(&mut Meter::default())?;
        for (conn, bytes) in world.take_outputs() {
            let hello = String::from_utf8_lossy(&bytes).contains("\"hello\"");
            ensure(hello, || format!("{conn} got no hello"))?;
        }
        // What presence has to tell of the newcomers is told now and not among what is measured.
        for _ in 0..8 {
            world.mono += 300_000;
            world.settle(&mut Meter::default())?;
        }
        world.take_outputs();
        world.keep = false;
        Ok(world)
    }

    /// A connection is open: of this user at once, or of nobody yet.
    pub fn connect(&mut self, shard: ShardId, user: Option<UserId>, meter: &mut Meter) -> Res<ConnId> {
        let now = self.now();
        let claims = user.map(|user| Claims {
            user,
            session: SessionId(user.0),
            device: None,
            issued_at: now.wall,
            expires_at: WallTime(u64::MAX),
            external: None,
        });
        let node = self.nodes.get_mut(shard.index()).ok_or("no such shard")?;
        let opened = Opened { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), claims, agent: String::new() };
        let conn = meter.section(|| node.shard.open(opened, now, &mut node.effects));
        conn.map_err(|code| format!("{code:?}").into())
    }

    /// A token of this user.
    pub fn token(&self, user: UserId) -> Res<String> {
        let signed = self.signer.sign(user, SessionId(user.0), DeviceId(user.0), self.now().wall);
        Ok(signed.map_err(|refusal| format!("{refusal:?}"))?.0)
    }

    /// Time goes on.
    pub fn pass(&mut self, us: u64) {
        self.mono += us;
    }

    /// The time.
    pub fn now(&self) -> Now {
        Now { mono: Moment(self.mono), wall: WallTime(WALL + self.mono / 1000) }
    }

    /// An id that no send had before.
    pub fn next_id(&mut self) -> Uuid {
        self.ids += 1;
        let high = (self.now().wall.0 << 16) | 0x7000 | (self.ids >> 32 & 0xfff);
        Uuid::from_u64_pair(high, 1 << 63 | self.ids)
    }

    /// The shard's own machine.
    pub fn shard(&mut self, at: u16) -> Option<&mut Shard> {
        self.nodes.get_mut(usize::from(at)).map(|node| &mut node.shard)
    }

    /// Puts an input before a shard.
    pub fn input(&mut self, shard: ShardId, input: Input) {
        if let Some(node) = self.nodes.get_mut(shard.index()) {
            node.inbox.push(input);
        }
    }

    /// A client's bytes arrive: parsed as the socket's task does it, then before the shard.
    pub fn receive(&mut self, client: usize, bytes: &[u8], meter: &mut Meter) -> Res<()> {
        let Some(client) = self.clients.get_mut(client) else { return Err("no such client".into()) };
        let mut events = Vec::new();
        meter.section(|| client.parser.feed(bytes, &mut events));
        let conn = client.conn;
        self.input(conn.shard, Input::Heard { conn });
        for event in events {
            let Event::Text(text) = event else { return Err(format!("{event:?} came out of the frame").into()) };
            self.input(conn.shard, Input::Text { conn, text });
        }
        Ok(())
    }

    /// Turns of all shards until nothing is under way.
    pub fn settle(&mut self, meter: &mut Meter) -> Res<()> {
        for _ in 0..1000 {
            let mut some = false;
            for at in 0..self.nodes.len() {
                some |= self.turn(at, meter)?;
            }
            self.mono += TURN_US;
            if !some {
                return Ok(());
            }
        }
        Err("it does not come to rest".into())
    }

    /// One turn of one shard. Answers whether something follows.
    fn turn(&mut self, at: usize, meter: &mut Meter) -> Res<bool> {
        let now = self.now();
        let Some(node) = self.nodes.get_mut(at) else { return Ok(false) };
        let inputs = std::mem::take(&mut node.inbox);
        let some = !inputs.is_empty();
        meter.section(|| {
            for input in inputs {
                node.shard.handle(input, now, &mut node.effects);
            }
            node.shard.finish_turn(now, &mut node.effects);
        });
        let mut follows = some;
        for job in node.effects.jobs.drain(..) {
            let result = match job.op {
                StoreOp::Write(write) => {
                    let done = self.store.write_each(vec![write])?.pop().ok_or("the store gave no result")?;
                    StoreResult::Written(done)
                }
                StoreOp::Read(query) => StoreResult::Read(self.store.read(&query)),
            };
            node.inbox.push(Input::Stored { token: job.token, result });
        }
        self.dirty.append(&mut node.effects.dirty);
        node.effects.audit.clear();
        follows |= !node.inbox.is_empty() || !self.dirty.is_empty();
        let mut batches: Vec<Vec<ShardMessage>> = Vec::new();
        for (to, message) in node.effects.sends.drain(..) {
            batches.resize_with(batches.len().max(to.index() + 1), Vec::new);
            if let Some(batch) = batches.get_mut(to.index()) {
                batch.push(message);
            }
        }
        self.write_out(at, meter);
        let from = ShardId(u16::try_from(at)?);
        for (to, batch) in (0..).map(ShardId).zip(batches) {
            if !batch.is_empty() {
                follows = true;
                self.input(to, Input::Lane { from, batch });
            }
        }
        Ok(follows)
    }

    fn write_out(&mut self, at: usize, meter: &mut Meter) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let (out, keep, outputs, dirty) = (&mut self.out, self.keep, &mut self.outputs, &mut self.dirty);
        let (mut written, mut bytes) = (0, 0);
        meter.section(|| {
            for &conn in &*dirty {
                out.clear();
                while node.shard.take_output(conn, WRITE_BYTES_MAX, out).more {}
                written += u64::from(!out.is_empty());
                bytes += out.len() as u64;
                if keep {
                    outputs.push((conn, out.clone()));
                }
            }
        });
        dirty.clear();
        self.written += written;
        self.written_bytes += bytes;
    }

    /// Who was sent what while [`World::keep`] was set.
    pub fn take_outputs(&mut self) -> Vec<(ConnId, Vec<u8>)> {
        std::mem::take(&mut self.outputs)
    }

    /// Nothing of what was written before counts.
    pub fn forget_written(&mut self) {
        (self.written, self.written_bytes) = (0, 0);
    }
}

/// A client's text frame, masked.
pub fn masked(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = vec![0x81];
    match u16::try_from(bytes.len()) {
        Ok(short) if short < 126 => out.push(0x80 | u8::try_from(short).unwrap_or(0)),
        _ => {
            out.push(0x80 | 0x7e);
            out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    let mask = [7, 99, 200, 13];
    out.extend_from_slice(&mask);
    out.extend(bytes.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A `chat` frame as clients write it.
pub fn chat(id: Uuid, room: RoomId, content: &str) -> String {
    format!(r#"{{"type":"chat","id":"{id}","room_id":"{room}","content":"{content}"}}"#)
}
