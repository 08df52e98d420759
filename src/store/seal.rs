//! Sealing: what keeps message text, metadata, private names and people's names unreadable on disk.
//!
//! | what | key | additional data |
//! |---|---|---|
//! | text and metadata of an event | HKDF-SHA-256(room key, author's salt) | room, seq, field, key id |
//! | name, description, metadata of a room that is not public | HKDF-SHA-256(room key, no salt) | room, 0, field, key id |
//! | username, display name, issuer and subject | HKDF-SHA-256(server key, user's salt) | user, 0, field, 0 |
//! | settings | HKDF-SHA-256(server key, no salt) | field, name |
//! | room keys, user salts, the server key | the master key | kind, id, key id |
//!
//! All by AES-256-GCM with a nonce of 96 random bits that the caller hands in. So a row that is put in another's place does not
//! open, and with an author's salt gone the author's words are gone. Promises nothing about lengths: they are visible.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce as RingNonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::hmac;

use super::{NameKey, NameKind};
use crate::base::{ClientId, RoomId, Seq, UserId};

/// 96 bits that were never used before with the same key: drawn at random by the caller.
pub type Nonce = [u8; NONCE_LEN];
/// A key or salt as it is wrapped.
pub type Secret = [u8; 32];

/// Why something did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// The bytes were changed, stand in another's place, or the key is another one.
    #[error("the seal does not fit (changed bytes, another place, or another key)")]
    Tag,
    /// The seal fits and the bytes are not text: never written by this program.
    #[error("the sealed text is not UTF-8")]
    Utf8,
    /// ring refused to work; does not happen for lengths below 64 GiB.
    #[error("the cipher refused the input")]
    Cipher,
}

/// Which field was sealed, so that a text cannot be passed off as another field of the same row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // named like the fields
pub enum Field {
    Content = 1,
    Metadata = 2,
    RoomName = 3,
    RoomDescription = 4,
    RoomMetadata = 5,
    Username = 6,
    DisplayName = 7,
    Issuer = 8,
    Subject = 9,
    Setting = 10,
}

/// Where a sealed field stands: part of what the seal covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The room or user.
    pub owner: [u8; 16],
    /// The event; 0 outside a log.
    pub seq: Seq,
    /// The field.
    pub field: Field,
}

impl Place {
    fn aad(self, key_id: u32) -> [u8; 29] {
        let mut aad = [0; 29];
        aad[..16].copy_from_slice(&self.owner);
        aad[16..24].copy_from_slice(&self.seq.0.to_be_bytes());
        aad[24] = self.field as u8;
        aad[25..].copy_from_slice(&key_id.to_be_bytes());
        aad
    }
}

fn expand(prk: &Prk, info: &[u8]) -> LessSafeKey {
    // ring refuses an expansion only when more is asked for than HKDF can give (8,160 bytes); this asks for 32.
    let okm = prk.expand(std::slice::from_ref(&info), &AES_256_GCM).unwrap_or_else(|_| unreachable!("32 bytes"));
    LessSafeKey::new(UnboundKey::from(okm))
}

fn expand_mac(prk: &Prk, info: &[u8]) -> hmac::Key {
    let okm = prk
        .expand(std::slice::from_ref(&info), hmac::HMAC_SHA256)
        .unwrap_or_else(|_| unreachable!("as many bytes as the hash has"));
    hmac::Key::from(okm)
}

fn extract(secret: &Secret, salt: &[u8]) -> Prk {
    Salt::new(HKDF_SHA256, salt).extract(secret)
}

fn seal(key: &LessSafeKey, nonce: Nonce, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Unsealable> {
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let tag = key
        .seal_in_place_separate_tag(
            RingNonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            sealed.get_mut(NONCE_LEN..).unwrap_or_default(),
        )
        .map_err(|_| Unsealable::Cipher)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn open(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unsealable::Tag)?;
    let mut bytes = rest.to_vec();
    let plain = key
        .open_in_place(RingNonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut bytes)
        .map_err(|_| Unsealable::Tag)?
        .len();
    bytes.truncate(plain);
    Ok(bytes)
}

/// Seals and opens the fields of one owner: the events of one author in one room, a room's own record, a user's names.
pub struct FieldKey {
    key: LessSafeKey,
    key_id: u32,
}

impl std::fmt::Debug for FieldKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FieldKey({})", self.key_id)
    }
}

impl FieldKey {
    /// The id of the key it was made of.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// `nonce ‖ ciphertext ‖ tag`; nothing for an empty text.
    ///
    /// # Errors
    /// [`Unsealable::Cipher`], for more than 64 GiB.
    pub fn seal(&self, place: Place, nonce: Nonce, text: &str) -> Result<Vec<u8>, Unsealable> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        seal(&self.key, nonce, &place.aad(self.key_id), text.as_bytes())
    }

    /// The text that was sealed at this place.
    ///
    /// # Errors
    /// The bytes are not what was sealed here with this key.
    pub fn open(&self, place: Place, sealed: &[u8]) -> Result<String, Unsealable> {
        if sealed.is_empty() {
            return Ok(String::new());
        }
        String::from_utf8(open(&self.key, &place.aad(self.key_id), sealed)?).map_err(|_| Unsealable::Utf8)
    }
}

/// What is made of one room key.
pub struct RoomKeys {
    secret: Secret,
    key_id: u32,
    own: FieldKey,
    mask: hmac::Key,
}

impl std::fmt::Debug for RoomKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoomKeys({})", self.key_id)
    }
}

impl RoomKeys {
    /// Of a room key.
    #[must_use]
    pub fn new(secret: Secret, key_id: u32) -> Self {
        let prk = extract(&secret, &[]);
        Self {
            own: FieldKey { key: expand(&prk, b"causerie room record v1"), key_id },
            mask: expand_mac(&prk, b"causerie answered ids v1"),
            secret,
            key_id,
        }
    }

    /// The number of this key among the room's keys.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// For the room's own record.
    #[must_use]
    pub fn own(&self) -> &FieldKey {
        &self.own
    }

    /// For the words of the author with this salt.
    #[must_use]
    pub fn author(&self, salt: &Secret) -> FieldKey {
        FieldKey { key: expand(&extract(&self.secret, salt), b"causerie message v1"), key_id: self.key_id }
    }

    /// Hides or shows the hash of a body that a client id was answered with: on disk a plain hash would let anybody test
    /// guesses of a short text. Used once per (user, id, seq), therefore as good as a one-time pad.
    #[must_use]
    pub fn mask(&self, user: UserId, client_id: ClientId, seq: Seq, hash: u64) -> u64 {
        let mut input = [0; 40];
        input[..16].copy_from_slice(user.bytes());
        input[16..32].copy_from_slice(client_id.bytes());
        input[32..].copy_from_slice(&seq.0.to_be_bytes());
        let tag = hmac::sign(&self.mask, &input);
        let pad = tag.as_ref().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        hash ^ pad
    }
}

/// What is made of the server key: keyed hashes of names, keys for people's names and for settings.
pub struct ServerKeys {
    people: Secret,
    settings: FieldKeyRaw,
    names: hmac::Key,
    pairs: hmac::Key,
}

struct FieldKeyRaw(LessSafeKey);

impl std::fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerKeys")
    }
}

impl ServerKeys {
    /// Of the server key.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        let prk = extract(&secret, &[]);
        Self {
            people: secret,
            settings: FieldKeyRaw(expand(&prk, b"causerie settings v1")),
            names: expand_mac(&prk, b"causerie names v1"),
            pairs: expand_mac(&prk, b"causerie pairs v1"),
        }
    }

    /// The server key itself: for a copy of everything that must have the same.
    #[must_use]
    pub fn secret(&self) -> Secret {
        self.people
    }

    /// For the names of the user with this salt.
    #[must_use]
    pub fn person(&self, salt: &Secret) -> FieldKey {
        FieldKey { key: expand(&extract(&self.people, salt), b"causerie person v1"), key_id: 0 }
    }

    /// What the unique index holds instead of a name.
    #[must_use]
    pub fn name_key(&self, kind: NameKind, folded: &str) -> NameKey {
        let mut context = hmac::Context::with_key(&self.names);
        context.update(&[match kind {
            NameKind::User => 1,
            NameKind::Room => 2,
        }]);
        context.update(folded.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        NameKey(key)
    }

    /// What the id of a direct room is made of: the same for both orders.
    #[must_use]
    pub fn pair_key(&self, a: UserId, b: UserId) -> [u8; 16] {
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        let mut context = hmac::Context::with_key(&self.pairs);
        context.update(first.bytes());
        context.update(second.bytes());
        let mut key = [0; 16];
        key.copy_from_slice(context.sign().as_ref().first_chunk::<16>().unwrap_or(&[0; 16]));
        key
    }

    /// Seals a setting under its name.
    ///
    /// # Errors
    /// [`Unsealable::Cipher`], for more than 64 GiB.
    pub fn seal_setting(&self, name: &str, nonce: Nonce, value: &[u8]) -> Result<Vec<u8>, Unsealable> {
        seal(&self.settings.0, nonce, &setting_aad(name), value)
    }

    /// Opens a setting.
    ///
    /// # Errors
    /// The bytes are not what was sealed under this name.
    pub fn open_setting(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        open(&self.settings.0, &setting_aad(name), sealed)
    }
}

fn setting_aad(name: &str) -> Vec<u8> {
    let mut aad = vec![Field::Setting as u8];
    aad.extend_from_slice(name.as_bytes());
    aad
}

/// What a wrapped key belongs to: part of what its seal covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapped {
    /// The server key.
    Server,
    /// A room key.
    Room(RoomId, u32),
    /// A user's salt.
    User(UserId),
}

impl Wrapped {
    fn aad(self) -> [u8; 21] {
        let mut aad = [0; 21];
        match self {
            Self::Server => aad[0] = 1,
            Self::Room(room, key_id) => {
                aad[0] = 2;
                aad[1..17].copy_from_slice(room.bytes());
                aad[17..].copy_from_slice(&key_id.to_be_bytes());
            }
            Self::User(user) => {
                aad[0] = 3;
                aad[1..17].copy_from_slice(user.bytes());
            }
        }
        aad
    }
}

/// Wraps all other keys. Comes from outside the data.
pub struct MasterKey {
    key: LessSafeKey,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// Of 32 bytes that came from a random source.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self { key: expand(&extract(secret, &[]), b"causerie wrap v1") }
    }

    /// The key as it may be kept.
    ///
    /// # Errors
    /// Does not happen for 32 bytes.
    pub fn wrap(&self, what: Wrapped, nonce: Nonce, secret: &Secret) -> Result<Vec<u8>, Unsealable> {
        seal(&self.key, nonce, &what.aad(), secret)
    }

    /// The key that was wrapped.
    ///
    /// # Errors
    /// The bytes were changed, belong to something else, or were wrapped by another master key.
    pub fn unwrap(&self, what: Wrapped, wrapped: &[u8]) -> Result<Secret, Unsealable> {
        open(&self.key, &what.aad(), wrapped)?.try_into().map_err(|_| Unsealable::Tag)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const PLACE: Place = Place { owner: [7; 16], seq: Seq(5), field: Field::Content };

    #[test]
    fn a_text_opens_only_in_its_place_with_its_key() {
        let room = RoomKeys::new([1; 32], 1);
        let author = room.author(&[2; 32]);
        let sealed = author.seal(PLACE, [9; 12], "hello there").expect("seals");
        assert_eq!(author.open(PLACE, &sealed).as_deref(), Ok("hello there"));
        assert!(!sealed.windows(5).any(|w| w == b"hello"));
        let elsewhere = [
            Place { owner: [8; 16], ..PLACE },
            Place { seq: Seq(6), ..PLACE },
            Place { field: Field::Metadata, ..PLACE },
        ];
        for place in elsewhere {
            assert_eq!(author.open(place, &sealed), Err(Unsealable::Tag), "{place:?}");
        }
        let others = [
            room.author(&[3; 32]),
            RoomKeys::new([1; 32], 2).author(&[2; 32]),
            RoomKeys::new([4; 32], 1).author(&[2; 32]),
        ];
        for other in others {
            assert_eq!(other.open(PLACE, &sealed), Err(Unsealable::Tag));
        }
        assert_eq!(room.own().open(PLACE, &sealed), Err(Unsealable::Tag));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let key = RoomKeys::new([1; 32], 1).author(&[2; 32]);
        let sealed = key.seal(PLACE, [9; 12], "hello").expect("seals");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(PLACE, &changed), Err(Unsealable::Tag));
            if at > 0 {
                assert_eq!(key.open(PLACE, &sealed[..at]), Err(Unsealable::Tag));
            }
        }
        assert_eq!(key.seal(PLACE, [9; 12], ""), Ok(Vec::new()));
        assert_eq!(key.open(PLACE, &[]).as_deref(), Ok(""));
    }

    #[test]
    fn wrapped_keys_open_only_for_what_they_belong_to_and_by_their_master() {
        let (master, other) = (MasterKey::new(&[1; 32]), MasterKey::new(&[2; 32]));
        let room = RoomId(Uuid::from_u128(1));
        let wrapped = master.wrap(Wrapped::Room(room, 1), [0; 12], &[5; 32]).expect("wraps");
        assert_eq!(master.unwrap(Wrapped::Room(room, 1), &wrapped), Ok([5; 32]));
        assert_eq!(other.unwrap(Wrapped::Room(room, 1), &wrapped), Err(Unsealable::Tag));
        for what in [Wrapped::Room(room, 2), Wrapped::User(UserId(room.0)), Wrapped::Server] {
            assert_eq!(master.unwrap(what, &wrapped), Err(Unsealable::Tag));
        }
    }

    #[test]
    fn names_pairs_masks_and_settings_depend_on_all_they_should() {
        let keys = ServerKeys::new([1; 32]);
        let name = keys.name_key(NameKind::User, "ann");
        assert_eq!(name, ServerKeys::new([1; 32]).name_key(NameKind::User, "ann"));
        assert_ne!(name, keys.name_key(NameKind::Room, "ann"));
        assert_ne!(name, ServerKeys::new([2; 32]).name_key(NameKind::User, "ann"));
        let (a, b) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        assert_eq!(keys.pair_key(a, b), keys.pair_key(b, a));
        assert_ne!(keys.pair_key(a, b), keys.pair_key(a, a));
        let room = RoomKeys::new([1; 32], 1);
        let id = ClientId(a.0);
        let masked = room.mask(a, id, Seq(1), 42);
        assert_ne!(masked, 42);
        assert_eq!(room.mask(a, id, Seq(1), masked), 42);
        assert_ne!(room.mask(a, id, Seq(2), 42), masked);
        let sealed = keys.seal_setting("jwt", [3; 12], b"key").expect("seals");
        assert_eq!(keys.open_setting("jwt", &sealed).as_deref(), Ok(&b"key"[..]));
        assert_eq!(keys.open_setting("jws", &sealed), Err(Unsealable::Tag));
    }
}
