//! Every statement on the data, in one list: prepared once when the store is opened, each with the table it is about.
//!
//! A write gives its own time (`USING TIMESTAMP ?`: last in an insert, first in a delete); a lightweight transaction (`IF`) never does.

macro_rules! statements {
    ($($name:ident = $table:literal, $text:literal;)*) => {
        /// Names a statement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum S { $($name),* }

        /// In the order of [`S`]: table and text.
        pub(super) const ALL: &[(S, &str, &str)] = &[$((S::$name, $table, $text)),*];
    };
}

statements! {
    // Rooms.
    RoomRow = "chat_rooms", "SELECT record, members, last_bucket, pending FROM chat_rooms WHERE room_id = ?";
    RoomPut = "chat_rooms", "INSERT INTO chat_rooms (room_id, record, members, last_bucket, pending) VALUES (?, ?, ?, ?, null) USING TIMESTAMP ?";
    RoomBucket = "chat_rooms", "INSERT INTO chat_rooms (room_id, last_bucket) VALUES (?, ?) USING TIMESTAMP ?";
    RoomPending = "chat_rooms", "INSERT INTO chat_rooms (room_id, pending) VALUES (?, ?) USING TIMESTAMP ?";
    RoomDone = "chat_rooms", "DELETE pending FROM chat_rooms USING TIMESTAMP ? WHERE room_id = ?";
    RoomGone = "chat_rooms", "DELETE FROM chat_rooms USING TIMESTAMP ? WHERE room_id = ?";
    RoomKey = "chat_room_keys", "SELECT wrapped FROM chat_room_keys WHERE room_id = ? AND key_id = ?";
    RoomKeyPut = "chat_room_keys", "INSERT INTO chat_room_keys (room_id, key_id, wrapped) VALUES (?, ?, ?) USING TIMESTAMP ?";
    RoomIds = "chat_room_ids", "SELECT room FROM chat_room_ids WHERE part = ? AND room >= ? LIMIT ?";
    RoomIdPut = "chat_room_ids", "INSERT INTO chat_room_ids (part, room) VALUES (?, ?) USING TIMESTAMP ?";
    PublicRooms = "chat_public_rooms", "SELECT room FROM chat_public_rooms WHERE part = ? AND room >= ? LIMIT ?";
    PublicPut = "chat_public_rooms", "INSERT INTO chat_public_rooms (part, room) VALUES (?, ?) USING TIMESTAMP ?";
    PublicGone = "chat_public_rooms", "DELETE FROM chat_public_rooms USING TIMESTAMP ? WHERE part = ? AND room = ?";
    // Messages.
    Newest = "chat_messages", "SELECT seq, number, created FROM chat_messages WHERE room_id = ? AND bucket = ? LIMIT 1";
    Page = "chat_messages", "SELECT seq, epoch, number, user_id, type, target, subject, role, key_id, content, metadata, client_id, created, deleted, answered, sum FROM chat_messages WHERE room_id = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq DESC";
    PageUp = "chat_messages", "SELECT seq, epoch, number, user_id, type, target, subject, role, key_id, content, metadata, client_id, created, deleted, answered, sum FROM chat_messages WHERE room_id = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq ASC";
    Answers = "chat_messages", "SELECT seq, user_id, key_id, client_id, created, answered FROM chat_messages WHERE room_id = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq DESC";
    TimeOf = "chat_messages", "SELECT created FROM chat_messages WHERE room_id = ? AND bucket = ? AND seq = ?";
    MessagePut = "chat_messages", "INSERT INTO chat_messages (room_id, bucket, seq, epoch, number, user_id, type, target, subject, role, key_id, content, metadata, client_id, created, deleted, answered, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    MessagesAfter = "chat_messages", "DELETE FROM chat_messages USING TIMESTAMP ? WHERE room_id = ? AND bucket = ? AND seq > ?";
    MessagesUpTo = "chat_messages", "DELETE FROM chat_messages USING TIMESTAMP ? WHERE room_id = ? AND bucket = ? AND seq <= ?";
    BucketGone = "chat_messages", "DELETE FROM chat_messages USING TIMESTAMP ? WHERE room_id = ? AND bucket = ?";
    AnsweredAt = "chat_answered", "SELECT seq FROM chat_answered WHERE room_id = ? AND period = ? AND user_id = ? AND client_id = ?";
    AnsweredPut = "chat_answered", "INSERT INTO chat_answered (room_id, period, user_id, client_id, seq) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    AnsweredGone = "chat_answered", "DELETE FROM chat_answered USING TIMESTAMP ? WHERE room_id = ? AND period = ? AND user_id = ? AND client_id = ?";
    // Members.
    Members = "chat_participants", "SELECT user_id, record FROM chat_participants WHERE room_id = ?";
    Member = "chat_participants", "SELECT record FROM chat_participants WHERE room_id = ? AND user_id = ?";
    MemberPut = "chat_participants", "INSERT INTO chat_participants (room_id, user_id, record) VALUES (?, ?, ?) USING TIMESTAMP ?";
    RoomsOf = "chat_participants_by_user", "SELECT room_id FROM chat_participants_by_user WHERE user_id = ?";
    RoomOfPut = "chat_participants_by_user", "INSERT INTO chat_participants_by_user (user_id, room_id) VALUES (?, ?) USING TIMESTAMP ?";
    RoomOfGone = "chat_participants_by_user", "DELETE FROM chat_participants_by_user USING TIMESTAMP ? WHERE user_id = ? AND room_id = ?";
    // Users.
    UserRow = "chat_users", "SELECT record, pending FROM chat_users WHERE user_id = ?";
    UserPut = "chat_users", "INSERT INTO chat_users (user_id, record, pending) VALUES (?, ?, null) USING TIMESTAMP ?";
    UserPending = "chat_users", "INSERT INTO chat_users (user_id, pending) VALUES (?, ?) USING TIMESTAMP ?";
    UserDone = "chat_users", "DELETE pending FROM chat_users USING TIMESTAMP ? WHERE user_id = ?";
    UserGone = "chat_users", "DELETE FROM chat_users USING TIMESTAMP ? WHERE user_id = ?";
    UserIds = "chat_user_ids", "SELECT user FROM chat_user_ids WHERE part = ? AND user >= ? LIMIT ?";
    UserIdPut = "chat_user_ids", "INSERT INTO chat_user_ids (part, user) VALUES (?, ?) USING TIMESTAMP ?";
    Sessions = "chat_sessions", "SELECT session_id, record FROM chat_sessions WHERE user_id = ?";
    SessionPut = "chat_sessions", "INSERT INTO chat_sessions (user_id, session_id, record) VALUES (?, ?, ?) USING TIMESTAMP ?";
    SessionGone = "chat_sessions", "DELETE FROM chat_sessions USING TIMESTAMP ? WHERE user_id = ? AND session_id = ?";
    SessionsGone = "chat_sessions", "DELETE FROM chat_sessions USING TIMESTAMP ? WHERE user_id = ?";
    Devices = "chat_devices", "SELECT device_id, record FROM chat_devices WHERE user_id = ?";
    DevicePut = "chat_devices", "INSERT INTO chat_devices (user_id, device_id, record) VALUES (?, ?, ?) USING TIMESTAMP ?";
    StreamFirst = "chat_user_stream", "SELECT seq FROM chat_user_stream WHERE user_id = ? LIMIT 1";
    StreamLast = "chat_user_stream", "SELECT seq FROM chat_user_stream WHERE user_id = ? ORDER BY seq DESC LIMIT 1";
    Stream = "chat_user_stream", "SELECT seq, record FROM chat_user_stream WHERE user_id = ? AND seq > ? LIMIT ?";
    StreamPut = "chat_user_stream", "INSERT INTO chat_user_stream (user_id, seq, record) VALUES (?, ?, ?) USING TIMESTAMP ?";
    StreamBefore = "chat_user_stream", "DELETE FROM chat_user_stream USING TIMESTAMP ? WHERE user_id = ? AND seq < ?";
    StreamAfter = "chat_user_stream", "DELETE FROM chat_user_stream USING TIMESTAMP ? WHERE user_id = ? AND seq > ?";
    Cursors = "chat_cursors", "SELECT room_id, seq FROM chat_cursors WHERE user_id = ? AND device_id = ?";
    CursorAt = "chat_cursors", "SELECT seq FROM chat_cursors WHERE user_id = ? AND device_id = ? AND room_id = ?";
    CursorPut = "chat_cursors", "INSERT INTO chat_cursors (user_id, device_id, room_id, seq) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    // Shared by all owners.
    Salt = "chat_salts", "SELECT wrapped FROM chat_salts WHERE user_id = ?";
    SaltTake = "chat_salts", "INSERT INTO chat_salts (user_id, wrapped) VALUES (?, ?) IF NOT EXISTS";
    Name = "chat_names", "SELECT holder, is_user FROM chat_names WHERE name = ?";
    NamesFirst = "chat_names", "SELECT name, holder, is_user FROM chat_names LIMIT ?";
    NamesAfter = "chat_names", "SELECT name, holder, is_user FROM chat_names WHERE token(name) > token(?) LIMIT ?";
    NameTake = "chat_names", "INSERT INTO chat_names (name, holder, is_user) VALUES (?, ?, ?) IF NOT EXISTS";
    NameRelease = "chat_names", "DELETE FROM chat_names WHERE name = ? IF holder = ? AND is_user = ?";
    Setting = "chat_settings", "SELECT value FROM chat_settings WHERE name = ?";
    SettingNames = "chat_settings", "SELECT name, value FROM chat_settings";
    SettingPut = "chat_settings", "INSERT INTO chat_settings (name, value) VALUES (?, ?) USING TIMESTAMP ?";
    SettingGone = "chat_settings", "DELETE FROM chat_settings USING TIMESTAMP ? WHERE name = ?";
    Mark = "chat_marks", "SELECT value FROM chat_marks WHERE name = ?";
    MarkTake = "chat_marks", "INSERT INTO chat_marks (name, value) VALUES (?, ?) IF NOT EXISTS";
    MarkChange = "chat_marks", "UPDATE chat_marks SET value = ? WHERE name = ? IF value = ?";
    // Leases and slots.
    NodeMake = "chat_nodes", "INSERT INTO chat_nodes (node, name, state, renewals, lease_ms, ts_limit) VALUES (?, ?, 'live', 0, ?, ?) IF NOT EXISTS";
    Node = "chat_nodes", "SELECT name, state, renewals, lease_ms, ts_limit FROM chat_nodes WHERE node = ?";
    NodeRenew = "chat_nodes", "UPDATE chat_nodes SET renewals = ?, ts_limit = ? WHERE node = ? IF state = 'live'";
    NodeFence = "chat_nodes", "UPDATE chat_nodes SET state = 'fenced' WHERE node = ? IF state = 'live' AND renewals = ?";
    NodeLeave = "chat_nodes", "UPDATE chat_nodes SET state = 'left', ts_limit = ? WHERE node = ? IF state = 'live'";
    Slots = "chat_slots", "SELECT slot, holder, term FROM chat_slots WHERE part = 0";
    SlotTake = "chat_slots", "INSERT INTO chat_slots (part, slot, holder, term) VALUES (0, ?, ?, 1) IF NOT EXISTS";
    SlotChange = "chat_slots", "UPDATE chat_slots SET holder = ?, term = ? WHERE part = 0 AND slot = ? IF holder = ? AND term = ?";
}
