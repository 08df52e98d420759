//! `causerie-load limit …` on the command line.

use std::io;

use clap::{Args, Subcommand};

use super::{Cores, Limit, Shape, connect, run, serve};
use crate::Context as _;

/// What `causerie-load limit` was asked for.
#[derive(Args)]
pub struct Call {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Starts both processes on this machine and prints the figures
    Run {
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        cores: Cores,
        /// Print the figures as JSON
        #[arg(long)]
        json: bool,
    },
    /// The sending process: says where it listens, waits for the receivers, measures, prints the figures as JSON
    Serve {
        #[command(flatten)]
        shape: Shape,
        /// The core it is pinned to
        #[arg(long)]
        core: Option<usize>,
        /// Where it listens
        #[arg(long, default_value = "127.0.0.1")]
        listen: String,
    },
    /// The receiving process
    Connect {
        #[command(flatten)]
        shape: Shape,
        /// The core it is pinned to
        #[arg(long)]
        core: Option<usize>,
        /// `data` of what the sending process said
        #[arg(long)]
        data: String,
        /// `control` of what the sending process said
        #[arg(long)]
        control: String,
    },
}

impl Call {
    /// Carries it out; answers what is to be printed, and the exit code: 0 done, 1 it could not be measured, 2 wrong usage.
    #[must_use]
    pub fn carry_out(self) -> (String, u8) {
        let shape = match &self.part {
            Part::Run { shape, .. } | Part::Serve { shape, .. } | Part::Connect { shape, .. } => {
                shape.clone().checked()
            }
        };
        let shape = match shape {
            Ok(shape) => shape,
            Err(why) => return (format!("{why}\n"), 2),
        };
        let json = |limit: Limit| serde_json::to_string(&limit).unwrap_or_default() + "\n";
        let done = match self.part {
            Part::Run { cores, json: wanted, .. } => std::env::current_exe()
                .context("finding this program")
                .and_then(|program| run(&program, &shape, cores))
                .map(|limit| if wanted { json(limit) } else { limit.to_string() }),
            Part::Serve { core, listen, .. } => serve(&shape, core, &listen, &mut io::stdout()).map(json),
            Part::Connect { core, data, control, .. } => connect(&shape, core, &data, &control).map(|()| String::new()),
        };
        match done {
            Ok(text) => (text, 0),
            Err(why) => (format!("{why}\n"), 1),
        }
    }
}
