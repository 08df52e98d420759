//! Where keys come from: the server's own from its data directory, those of an external issuer from settings, files and an
//! address. Passwords are hashed here too, since that takes as long as reading a file.
//!
//! Everything here blocks: call it before the shards run, or on a blocking thread. Nothing here knows shards: [`Keeper::refresh`]
//! gives a new [`KeySet`], and whoever called hands its verifier on.

pub mod files;
pub mod jwks;
pub mod own;
pub mod password;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::auth::claims::Rules;
use crate::auth::keyset::{Algorithm, Key, KeyFlaw};
use crate::auth::token::{KeyId, SetFlaw, Signer, Verifier};
use crate::base::WallTime;
use crate::config::settings;

/// How often [`Keeper::refresh`] should be called, in milliseconds (and at once on SIGHUP). It is also how long a new key of
/// one's own is told before it is used.
pub const REFRESH_EVERY_MS: u64 = 60_000;
/// How often an address is asked anew unless told to, in milliseconds.
const FETCH_EVERY_MS: u64 = 5 * 60_000;

/// Why there are no keys. Names the file or address; never holds a key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file could not be read or written.
    #[error("{}: {cause}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file or setting does not hold a usable key.
    #[error("{at}: {flaw}")]
    Key {
        /// Which.
        at: String,
        /// Why.
        flaw: KeyFlaw,
    },
    /// An address did not give a set of keys.
    #[error("{url}: {cause}")]
    Fetch {
        /// Which.
        url: String,
        /// Why.
        cause: String,
    },
    /// The keys do not go together.
    #[error("auth.external: {0}")]
    Set(#[from] SetFlaw),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The server signs its own tokens.
    Own(own::OwnSource),
    /// Somebody else does.
    External(Box<ExternalSource>),
}

/// Where the keys of an external issuer come from, and what its tokens must say.
#[derive(Clone)]
pub struct ExternalSource {
    /// What tokens must say.
    pub rules: Rules,
    /// How they name their key.
    pub key_id: KeyId,
    /// What is accepted.
    pub algorithms: Vec<Algorithm>,
    /// Shared secrets, the newest first.
    pub secrets: Vec<String>,
    /// PEM files.
    pub public_keys: Vec<PathBuf>,
    /// A set of keys.
    pub jwks: Option<jwks::At>,
}

impl std::fmt::Debug for ExternalSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalSource")
            .field("rules", &self.rules)
            .field("algorithms", &self.algorithms)
            .field("secrets", &self.secrets.len())
            .field("public_keys", &self.public_keys)
            .field("jwks", &self.jwks)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// From the settings; own keys are kept in `keys` under the data directory.
    #[must_use]
    pub fn from_settings(auth: &settings::Auth, data_dir: &std::path::Path) -> Self {
        let external = match &auth.mode {
            settings::AuthMode::Builtin => {
                return Self::Own(own::OwnSource {
                    dir: data_dir.join("keys"),
                    access_ms: auth.access_token_seconds * 1000,
                    rotate_ms: own::ROTATE_MS,
                });
            }
            settings::AuthMode::External(external) => external,
        };
        let algorithm = |algorithm: &settings::Algorithm| match algorithm {
            settings::Algorithm::Hs256 => Algorithm::Hs256,
            settings::Algorithm::Rs256 => Algorithm::Rs256,
            settings::Algorithm::Es256 => Algorithm::Es256,
            settings::Algorithm::EdDsa => Algorithm::EdDsa,
        };
        Self::External(Box::new(ExternalSource {
            rules: Rules {
                issuers: external.issuer.iter().cloned().collect(),
                audiences: external.audience.clone(),
                leeway_ms: external.leeway_seconds * 1000,
                username_claim: external.username_claim.clone(),
                display_name_claim: external.display_name_claim.clone(),
                ..Rules::default()
            },
            key_id: match external.key_id {
                settings::KeyId::Header => KeyId::Header,
                settings::KeyId::ClaimSha256 => KeyId::ClaimSha256,
            },
            algorithms: external.algorithms.iter().map(algorithm).collect(),
            secrets: external.secrets.iter().map(|secret| secret.0.clone()).collect(),
            public_keys: external.public_keys.clone(),
            jwks: external.jwks.clone().map(|at| match at {
                settings::Jwks::File(path) => jwks::At::File(path),
                settings::Jwks::Url(url) => jwks::At::Url(url),
            }),
        }))
    }
}

/// The keys of the moment.
#[derive(Clone, Debug)]
pub struct KeySet {
    /// Checks tokens.
    pub verifier: Arc<Verifier>,
    /// Signs them; `None` where somebody else does.
    pub signer: Option<Arc<Signer>>,
}

/// Loads keys and keeps them up to date.
#[derive(Debug)]
pub struct Keeper {
    source: Source,
    /// What the present set was made of, to know a change when it is seen.
    fingerprint: Vec<String>,
    /// The last set that came from an address, and when.
    fetched: Option<(WallTime, Vec<Key>)>,
}

impl Keeper {
    /// Loads the keys for the first time.
    ///
    /// # Errors
    /// When there are none that can be used; says what to mend.
    pub fn start(source: Source, now: WallTime) -> Result<(Self, KeySet), KeysError> {
        let mut keeper = Self { source, fingerprint: Vec::new(), fetched: None };
        let (set, fingerprint) = keeper.load(now, true)?;
        keeper.fingerprint = fingerprint;
        Ok((keeper, set))
    }

    /// Looks for changes: `None` when there are none. A failure is logged and leaves everything as it was. `at_once` (SIGHUP) asks
    /// an address even if it was asked a moment ago.
    pub fn refresh(&mut self, now: WallTime, at_once: bool) -> Option<KeySet> {
        match self.load(now, at_once) {
            Ok((_, fingerprint)) if fingerprint == self.fingerprint => None,
            Ok((set, fingerprint)) => {
                tracing::info!(keys = fingerprint.len(), "token keys have changed");
                self.fingerprint = fingerprint;
                Some(set)
            }
            Err(error) => {
                tracing::error!(%error, "token keys could not be refreshed; the old ones stay");
                None
            }
        }
    }

    fn load(&mut self, now: WallTime, at_once: bool) -> Result<(KeySet, Vec<String>), KeysError> {
        match &self.source {
            Source::Own(source) => own::load(source, now),
            Source::External(source) => {
                let keys = Self::external_keys(source, &mut self.fetched, now, at_once)?;
                let fingerprint = keys.iter().map(Key::fingerprint).collect();
                let verifier = Verifier::external(source.rules.clone(), source.key_id, &source.algorithms, keys)?;
                Ok((KeySet { verifier: Arc::new(verifier), signer: None }, fingerprint))
            }
        }
    }

    fn external_keys(
        source: &ExternalSource,
        fetched: &mut Option<(WallTime, Vec<Key>)>,
        now: WallTime,
        at_once: bool,
    ) -> Result<Vec<Key>, KeysError> {
        let mut keys = Vec::new();
        for (n, secret) in source.secrets.iter().enumerate() {
            let key = match source.key_id {
                KeyId::Header => Key::secret(secret),
                KeyId::ClaimSha256 => Key::secret_with_hash(secret),
            };
            keys.push(
                key.map_err(|flaw| KeysError::Key { at: format!("auth.external.secrets, number {}", n + 1), flaw })?,
            );
        }
        for path in &source.public_keys {
            let text = files::read_limited(path)?;
            keys.push(Key::pem(&text).map_err(|flaw| KeysError::Key { at: path.display().to_string(), flaw })?);
        }
        match &source.jwks {
            None => {}
            Some(at @ jwks::At::File(_)) => keys.extend(jwks::load(at, &source.algorithms)?),
            Some(at @ jwks::At::Url(_)) => {
                let fresh =
                    fetched.as_ref().is_some_and(|(when, _)| now < when.plus_ms(FETCH_EVERY_MS) && now >= *when);
                if at_once || !fresh {
                    *fetched = Some((now, jwks::load(at, &source.algorithms)?));
                }
                keys.extend(fetched.iter().flat_map(|(_, keys)| keys.iter().cloned()));
            }
        }
        Ok(keys)
    }
}

/// The signer of the moment, for the REST interface; replaced when keys change. (Not on the path of a message.)
#[derive(Clone, Debug)]
pub struct CurrentSigner(Arc<RwLock<Option<Arc<Signer>>>>);

impl CurrentSigner {
    /// Starts with this one.
    #[must_use]
    pub fn new(signer: Option<Arc<Signer>>) -> Self {
        Self(Arc::new(RwLock::new(signer)))
    }

    /// The signer of the moment; `None` where somebody else signs.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Signer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it. Give the new verifier to everybody before.
    pub fn set(&self, signer: Option<Arc<Signer>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = signer;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::path::Path;

    use super::*;
    use crate::auth::claims::Flaw;

    const NOW: WallTime = WallTime(1_795_000_000_000);

    fn vectors() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/vectors/tokens.json")).expect("the vectors are JSON")
    }

    fn external() -> ExternalSource {
        ExternalSource {
            rules: Rules { audiences: vec!["causerie".to_owned()], ..Rules::default() },
            key_id: KeyId::Header,
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
            secrets: Vec::new(),
            public_keys: Vec::new(),
            jwks: None,
        }
    }

    fn check(set: &KeySet, name: &str) -> Result<(), Flaw> {
        let vectors = vectors();
        set.verifier.check(vectors["good"][name].as_str().expect("a token"), NOW).map(drop)
    }

    /// The JWKS without the entries of these kids.
    fn jwks_without(kids: &[&str]) -> String {
        let mut set = vectors()["jwks"].clone();
        let keys = set["keys"].as_array_mut().expect("a list");
        keys.retain(|key| !kids.contains(&key["kid"].as_str().unwrap_or_default()));
        set.to_string()
    }

    #[test]
    fn a_set_in_a_file_is_followed_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("jwks.json");
        std::fs::write(&path, jwks_without(&["ec-1"])).expect("written");
        let source = ExternalSource { jwks: Some(jwks::At::File(path.clone())), ..external() };
        let (mut keeper, set) = Keeper::start(Source::External(Box::new(source)), NOW).expect("keys");
        assert!(set.signer.is_none());
        assert_eq!((check(&set, "rs256"), check(&set, "es256")), (Ok(()), Err(Flaw::NoKey)));
        // EdDSA is in the set, and not among the algorithms.
        assert_eq!(check(&set, "eddsa"), Err(Flaw::Algorithm));
        assert!(keeper.refresh(NOW, true).is_none());

        std::fs::write(&path, jwks_without(&["rsa-1"])).expect("written");
        let set = keeper.refresh(NOW, true).expect("a change");
        assert_eq!((check(&set, "rs256"), check(&set, "es256")), (Err(Flaw::NoKey), Ok(())));

        for bad in ["", "{\"keys\": []}", "{\"keys\": 1}"] {
            std::fs::write(&path, bad).expect("written");
            assert!(keeper.refresh(NOW, true).is_none(), "{bad}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(keeper.refresh(NOW, true).is_none());
    }

    #[test]
    fn pem_files_and_secrets_are_read_and_what_is_wrong_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let pem = |name: &str| vectors()["public_keys"][name].as_str().expect("a key").to_owned();
        let start = |source: ExternalSource| Keeper::start(Source::External(Box::new(source)), NOW).map(|(_, set)| set);
        let good = vec![write("rsa.pem", &pem("rsa")), write("ec.pem", &pem("p256"))];
        let set = start(ExternalSource { public_keys: good, ..external() }).expect("keys");
        assert_eq!((check(&set, "rs256"), check(&set, "es256")), (Ok(()), Ok(())));

        let told = |source: ExternalSource| start(source).map(drop).expect_err("an error").to_string();
        let weak = write("weak.pem", &pem("rsa_1024"));
        let text = told(ExternalSource { public_keys: vec![weak.clone()], ..external() });
        assert!(text.contains(&weak.display().to_string()) && text.contains("2,048"), "{text}");
        let missing = Path::new("/nowhere/key.pem").to_owned();
        assert!(told(ExternalSource { public_keys: vec![missing], ..external() }).contains("/nowhere/key.pem"));
        assert!(told(external()).contains("no key"));
        let text = told(ExternalSource { secrets: vec![String::new()], ..external() });
        assert!(text.contains("auth.external.secrets, number 1"), "{text}");
        let source = ExternalSource { secrets: vec!["the secret itself".to_owned()], ..external() };
        assert!(!format!("{source:?}").contains("itself"));
        assert!(!told(source).contains("itself"));
    }

    /// Answers each request with the next of these, then stops listening.
    fn serve(answers: Vec<String>) -> (String, std::thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
        let task = std::thread::spawn(move || {
            let mut served = 0;
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("readable") == 1 {
                    head.push(byte[0]);
                }
                assert!(head.starts_with(b"GET /jwks.json "));
                stream.write_all(answer.as_bytes()).expect("writable");
                served += 1;
            }
            served
        });
        (url, task)
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    #[test]
    fn a_set_at_an_address_is_fetched_now_and_then_and_failures_keep_the_old_one() {
        let (url, task) = serve(vec![
            answer("200 OK", &jwks_without(&["ec-1"])),
            answer("500 Internal Server Error", ""),
            answer("302 Found\r\nLocation: http://127.0.0.1:1/", ""),
            answer("200 OK", &" ".repeat(300_000)),
            answer("200 OK", &jwks_without(&["rsa-1"])),
        ]);
        let source = ExternalSource { jwks: Some(jwks::At::Url(url)), ..external() };
        let (mut keeper, set) = Keeper::start(Source::External(Box::new(source)), NOW).expect("keys");
        assert_eq!((check(&set, "rs256"), check(&set, "es256")), (Ok(()), Err(Flaw::NoKey)));
        // Not asked again yet.
        assert!(keeper.refresh(NOW.plus_ms(REFRESH_EVERY_MS), false).is_none());
        for _ in 0..3 {
            assert!(keeper.refresh(NOW, true).is_none());
        }
        let set = keeper.refresh(NOW.plus_ms(FETCH_EVERY_MS), false).expect("a change");
        assert_eq!((check(&set, "rs256"), check(&set, "es256")), (Err(Flaw::NoKey), Ok(())));
        assert_eq!(task.join().expect("served"), 5);
        // Nobody listens any more.
        assert!(keeper.refresh(NOW, true).is_none());
    }
}
