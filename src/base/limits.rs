//! Every maximum has its name, its unit and its reason here, and is held against its neighbours when the code is compiled.
//!
//! What a configuration may change is in [`Limits`]; the rest are constants of the protocol.

/// Unicode scalar values in one message.
pub const CONTENT_CHARS_MAX: usize = 4096;
/// Bytes of a message's `metadata`, as JSON.
pub const METADATA_BYTES_MAX: usize = 4096;
/// Bytes of one client frame: a full message of four-byte characters, each escaped as `\uXXXX\uXXXX`, with metadata and the rest.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Characters of a username, from and to.
pub const USERNAME_CHARS: (usize, usize) = (3, 32);
/// Characters of a password, from and to.
pub const PASSWORD_CHARS: (usize, usize) = (8, 256);
/// Characters of a display name.
pub const DISPLAY_NAME_CHARS_MAX: usize = 64;
/// Characters of a room's name.
pub const ROOM_NAME_CHARS_MAX: usize = 80;
/// Characters of a room's description.
pub const ROOM_DESCRIPTION_CHARS_MAX: usize = 1000;
/// Messages in one page of history.
pub const PAGE_ROWS_MAX: usize = 100;
/// Bytes of one page of history or resume, before encoding.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Events that one resume of one room gives before it says `more`.
pub const RESUME_ROWS_MAX: usize = 500;
/// Rooms in one `hello` or `rooms` frame.
pub const ROOMS_PER_FRAME: usize = 100;
/// Rooms that may stand in one `resume` or one `presence.watch`.
pub const ROOMS_PER_REQUEST_MAX: usize = 1000;
/// How far into the future the time inside a client id may lie, in milliseconds.
pub const CLIENT_ID_AHEAD_MS: u64 = 5 * 60 * 1000;
/// Above how many present users a room's presence is told as a count only.
pub const PRESENCE_NAMES_MAX: usize = 500;
/// At most one presence frame a room in this time, in milliseconds.
pub const PRESENCE_INTERVAL_MS: u64 = 250;
/// A typing mark expires by itself after this time, in milliseconds.
pub const TYPING_MS: u64 = 6000;
/// The first frame must authenticate within this time, in milliseconds.
pub const AUTH_FRAME_MS: u64 = 5000;
/// A ping goes out when nothing came in for this time, in milliseconds.
pub const HEARTBEAT_MS: u64 = 10_000;
/// No byte for this time is offline, in milliseconds.
pub const SILENT_MS: u64 = 30_000;
/// A reader whose outbox did not move for this time is closed with 4503, in milliseconds.
pub const STUCK_MS: u64 = 15_000;
/// How long before a token ends the client is told, in milliseconds.
pub const TOKEN_NOTICE_MS: u64 = 60_000;
/// Events that a room keeps in memory for resume and history.
pub const TIMELINE_EVENTS: usize = 128;
/// Bytes that a room keeps in memory for the same.
pub const TIMELINE_BYTES: usize = 64 * 1024;
/// Answered client ids that a room remembers before it asks the store.
pub const ANSWERED_IDS: usize = 8192;
/// Answered client ids that all rooms of a shard remember together.
pub const ANSWERED_IDS_SHARD: usize = 524_288;
/// Users of a room whose ids were forgotten for want of space and who are still told apart.
pub const CROWDED_OUT_USERS: usize = 1024;
/// Requests that wait for one room (or user) to be loaded.
pub const WAITING_PER_ROOM_MAX: usize = 4096;
/// A room or user that nobody used for this time leaves memory, in milliseconds.
pub const REST_AFTER_MS: u64 = 10 * 60 * 1000;
/// However much rests: what was used within this time stays, for what was written then may not be durable yet, in milliseconds.
pub const REST_AT_LEAST_MS: u64 = 10 * 1000;
/// Batches that one lane between two shards holds.
pub const LANE_BATCHES: usize = 1024;
/// Bytes that leave for one connection in one write at most.
pub const WRITE_BYTES_MAX: usize = 64 * 1024;
/// Room for frames that must not be shed (acks, errors, `resync`), beyond the outbox's own bound.
pub const OUTBOX_RESERVE_BYTES: usize = 64 * 1024;
/// Events of the user stream that are kept.
pub const STREAM_EVENTS_MAX: u64 = 10_000;

const _: () =
    assert!(CONTENT_CHARS_MAX * 12 + METADATA_BYTES_MAX + 1024 <= FRAME_BYTES_MAX, "a full message must fit a frame");
const _: () = assert!(HEARTBEAT_MS * 2 < SILENT_MS, "two pings must fit before silence is offline");
const _: () =
    assert!(TIMELINE_BYTES >= 4 * CONTENT_CHARS_MAX + METADATA_BYTES_MAX, "one message must fit the timeline");
const _: () = assert!(ANSWERED_IDS_SHARD >= 16 * ANSWERED_IDS, "a few busy rooms must not crowd out all others");
const _: () = assert!(OUTBOX_RESERVE_BYTES >= FRAME_BYTES_MAX, "an error about a frame must fit beside it");
const _: () = assert!(PRESENCE_NAMES_MAX <= ROOMS_PER_REQUEST_MAX, "presence of one room must fit one frame");

/// What a configuration may change (`[limits]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Messages a second a user, over all connections.
    pub messages_per_second: u32,
    /// How many of them at once.
    pub messages_burst: u32,
    /// Connections of the whole instance.
    pub connections: u32,
    /// Connections of one user.
    pub connections_per_user: u32,
    /// Connections of one address.
    pub connections_per_address: u32,
    /// Bytes waiting for one connection.
    pub outbox_bytes: usize,
    /// Bytes waiting for all connections of one shard.
    pub outbox_budget_bytes: usize,
    /// Bytes of recent events that one shard holds for resume and history.
    pub timeline_budget_bytes: usize,
    /// Bytes of users and rooms that nobody is connected to and that one shard holds all the same.
    pub resting_bytes: usize,
    /// TLS handshakes under way on one shard.
    pub handshakes_per_shard: usize,
    /// Rooms of one user.
    pub rooms_per_user: usize,
    /// Members of one room.
    pub members_per_room: usize,
    /// Other requests (everything but `chat`) a second a connection; the burst is three times that.
    pub requests_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages_per_second: 10,
            messages_burst: 20,
            connections: 16_000,
            connections_per_user: 50,
            connections_per_address: 16_000,
            outbox_bytes: 512 * 1024,
            outbox_budget_bytes: 512 * 1024 * 1024,
            timeline_budget_bytes: 64 * 1024 * 1024,
            resting_bytes: 64 * 1024 * 1024,
            handshakes_per_shard: 256,
            rooms_per_user: 2000,
            members_per_room: 20_000,
            requests_per_second: 50,
        }
    }
}
