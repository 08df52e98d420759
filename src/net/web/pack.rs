//! The files of the web client as they stand in the binary: one pack, made by `scripts/web-pack.mjs`, read once at the start.
//!
//! Promises: nothing of it is copied, every form of a file is a slice of the binary; a damaged pack is refused as a whole. It does
//! not do: HTTP.

use bytes::Bytes;
use hashbrown::HashMap;
use http::HeaderValue;
use serde::Deserialize;

/// What a pack begins with.
const MAGIC: &[u8] = b"CWEB1\n";

/// Why a pack cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the web client in this binary cannot be used: {0}; build it anew with `make run`")]
pub struct PackProblem(String);

/// One form of a file.
#[derive(Clone, Debug)]
pub struct Form {
    /// All of it.
    pub bytes: Bytes,
    /// Changes whenever the bytes may change.
    pub etag: HeaderValue,
}

/// One file of the client.
#[derive(Clone, Debug)]
pub struct File {
    /// Its `Content-Type`.
    pub kind: HeaderValue,
    /// Its name holds the hash of its content.
    pub immutable: bool,
    /// As it is.
    pub plain: Form,
    /// By brotli, if that is smaller.
    pub brotli: Option<Form>,
    /// By gzip, if that is smaller.
    pub gzip: Option<Form>,
}

/// All files, by address (`/index.html`).
#[derive(Clone, Debug, Default)]
pub struct Pack {
    files: HashMap<String, File>,
}

#[derive(Deserialize)]
struct Table {
    files: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    hash: String,
    immutable: bool,
    plain: (usize, usize),
    br: Option<(usize, usize)>,
    gzip: Option<(usize, usize)>,
}

impl Pack {
    /// Reads a pack. No bytes at all mean that the client was not built: then there are no files.
    ///
    /// # Errors
    /// When the bytes are not a whole pack.
    pub fn read(pack: &'static [u8]) -> Result<Self, PackProblem> {
        if pack.is_empty() {
            return Ok(Self::default());
        }
        let short = || PackProblem("it is not whole".to_owned());
        let rest = pack.strip_prefix(MAGIC).ok_or_else(short)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (table, blob) = rest.split_at_checked(length).ok_or_else(short)?;
        let table: Table = serde_json::from_slice(table).map_err(|error| PackProblem(error.to_string()))?;
        let form = |(at, length): (usize, usize), hash: &str, ending: &str| {
            let end = at.checked_add(length).ok_or_else(short)?;
            let bytes = Bytes::from_static(blob.get(at..end).ok_or_else(short)?);
            // Each form has its own: a strong one stands for exactly these bytes.
            let etag = HeaderValue::from_str(&format!("\"{hash}{ending}\"")).map_err(|_| short())?;
            Ok(Form { bytes, etag })
        };
        let mut files = HashMap::with_capacity(table.files.len());
        for row in table.files {
            let file = File {
                kind: HeaderValue::from_str(&row.kind).map_err(|_| short())?,
                immutable: row.immutable,
                plain: form(row.plain, &row.hash, "")?,
                brotli: row.br.map(|place| form(place, &row.hash, "-br")).transpose()?,
                gzip: row.gzip.map(|place| form(place, &row.hash, "-gz")).transpose()?,
            };
            files.insert(row.path, file);
        }
        Ok(Self { files })
    }

    /// The file at this address.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Whether the client was built into this binary.
    #[must_use]
    pub fn built(&self) -> bool {
        !self.files.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A pack of one page, one named script and one picture, as the script would write it.
    pub(crate) fn sample() -> &'static [u8] {
        let table = r#"{"files":[
            {"path":"/index.html","type":"text/html; charset=utf-8","hash":"aa","immutable":false,"plain":[0,6],"br":[6,2],"gzip":[8,3]},
            {"path":"/assets/app-1.js","type":"text/javascript; charset=utf-8","hash":"bb","immutable":true,"plain":[11,100000]},
            {"path":"/sw.js","type":"text/javascript; charset=utf-8","hash":"cc","immutable":false,"plain":[0,6]}
        ]}"#;
        let mut pack = MAGIC.to_vec();
        pack.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
        pack.extend(table.as_bytes());
        pack.extend(b"<page>brgzp");
        pack.extend(vec![b'x'; 100_000]);
        pack.leak()
    }

    #[test]
    fn every_form_is_found_and_none_is_copied() {
        let bytes = sample();
        let pack = Pack::read(bytes).unwrap();
        let page = pack.get("/index.html").unwrap();
        assert_eq!(page.plain.bytes, "<page>");
        assert_eq!(page.brotli.as_ref().unwrap().bytes, "br");
        assert_eq!(page.gzip.as_ref().unwrap().bytes, "gzp");
        let etags = [&page.plain, page.brotli.as_ref().unwrap(), page.gzip.as_ref().unwrap()].map(|form| &form.etag);
        assert_eq!(etags, ["\"aa\"", "\"aa-br\"", "\"aa-gz\""]);
        assert!(bytes.as_ptr_range().contains(&page.plain.bytes.as_ptr()));
        let script = pack.get("/assets/app-1.js").unwrap();
        assert!(script.immutable && script.brotli.is_none() && script.plain.bytes.len() == 100_000);
        assert!(pack.get("/assets/").is_none() && pack.built());
    }

    #[test]
    fn no_client_is_no_error_and_half_a_client_is_one() {
        assert!(!Pack::read(b"").unwrap().built());
        let whole = sample();
        for length in [1, 5, 6, 9, 30, whole.len() - 1] {
            assert!(Pack::read(&whole[..length]).is_err(), "{length}");
        }
        let mut other = whole.to_vec();
        other[0] = b'X';
        assert!(Pack::read(other.leak()).is_err());
    }
}
