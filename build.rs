//! Sees to it that the file that holds the web client is there, if only as an empty one, so that the server can be built without Node.
//!
//! It looks once and is not run again when the client changes: that would compile the whole library anew. `src/main.rs` names the file,
//! so cargo links the binary again when it changes.

#![allow(clippy::print_stdout, reason = "that is how one talks to cargo")]

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let root = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let pack = Path::new(&root).join("target/web/client.pack");
    if let Some(folder) = pack.parent()
        && !pack.exists()
    {
        fs::create_dir_all(folder)?;
        fs::write(pack, b"")?;
    }
    Ok(())
}
