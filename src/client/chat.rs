//! The client's one loop: lines of the person, bytes of the server, deadlines.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::files;
use super::rest::{Login, Rest, RestError};
use super::session::{Effect, Saved, Session};
use super::terminal::{self, Terminal, Typed, harmless};
use super::transport::{Address, Came, FromSocket, Link};
use super::trust::{Policy, Trust};
use super::{ChatArgs, Stopped};

/// Back-off between attempts to connect, from and to, in milliseconds.
const BACKOFF_MS: (u64, u64) = (250, 20_000);
/// The server pings every 10 s; without a byte for this time the connection is dead, in milliseconds.
const SILENT_MS: u64 = 35_000;
/// How long the last sends may take after the end of the input, in milliseconds.
pub(super) const FAREWELL_MS: u64 = 30_000;

/// What the loop waits for.
enum Input {
    Typed(Typed),
    Socket(FromSocket),
}

impl From<Typed> for Input {
    fn from(typed: Typed) -> Self {
        Self::Typed(typed)
    }
}

impl From<FromSocket> for Input {
    fn from(said: FromSocket) -> Self {
        Self::Socket(said)
    }
}

/// Runs until the person is done.
///
/// # Errors
/// Why it ended before that.
pub fn run(args: &ChatArgs) -> Result<(), Stopped> {
    let (rest, trust) = reach(args)?;
    let mut chat = Chat::start(args, rest, trust)?;
    chat.connect()?;
    chat.turn()
}

/// Makes sure that the server is the right one.
fn reach(args: &ChatArgs) -> Result<(Rest, Trust), Stopped> {
    let server = args.server.authority();
    let policy = match &args.fingerprint {
        Some(pin) => Policy::Pinned(pin.clone()),
        None => Policy::Known {
            authorities: args.ca.clone(),
            server: server.clone(),
            file: files::folder().join("known_servers"),
        },
    };
    let trust = Trust::new(policy).map_err(|error| Stopped::usage(error.to_string()))?;
    if let Err(why) = Link::probe(&args.server, &trust.config) {
        let Some(seen) = trust.stranger() else { return Err(Stopped::because(why)) };
        let mut out = io::stderr();
        let _ = writeln!(
            out,
            "{server} shows a certificate that nobody known has signed. Its SHA-256 fingerprint is\n  {seen}"
        );
        let accepted = args.accept_new || args.server.is_loopback() || {
            let question = "Is it the one that the server printed at its start? [yes/no] ";
            terminal::ask(question, false).is_ok_and(|answer| answer.eq_ignore_ascii_case("yes"))
        };
        if !accepted {
            let text = format!("{server} is not trusted; give --fingerprint, --ca or --accept-new");
            return Err(Stopped::because(text));
        }
        let _ = writeln!(out, "It is trusted from now on.");
        trust.accept(seen).map_err(|error| Stopped::because(error.to_string()))?;
    }
    Ok((Rest::new(&format!("https://{server}"), trust.config.clone()), trust))
}

/// How one became who one is, to be so again when the token ends.
enum Credentials {
    Password { user: String, password: String },
    Token,
}

pub(super) struct Chat {
    server: Address,
    trust: Trust,
    pub(super) rest: Rest,
    credentials: Credentials,
    refresh_token: String,
    token_until: u64,
    pub(super) session: Session,
    state_file: PathBuf,
    pub(super) terminal: Terminal,
    inbox: Receiver<Input>,
    to_inbox: SyncSender<Input>,
    began: Instant,
    link: Option<Link>,
    links: u64,
    heard: u64,
    attempts: u32,
    connect_at: u64,
    /// The room that lines go to.
    pub(super) current: Option<Uuid>,
    pub(super) wanted: Option<String>,
    /// Lines that came before there was a room to say them in.
    pub(super) early: Vec<String>,
    pub(super) names_asked: HashMap<Uuid, u64>,
    /// The input is at its end: leave when nothing is waiting, or at this time.
    pub(super) leave_at: Option<u64>,
    pub(super) refused: bool,
}

impl Chat {
    fn start(args: &ChatArgs, mut rest: Rest, trust: Trust) -> Result<Self, Stopped> {
        let token = std::env::var("CAUSERIE_TOKEN").ok().filter(|token| !token.is_empty());
        let name = match (&args.user, &token) {
            (Some(user), _) => user.clone(),
            (None, Some(_)) => "token".to_owned(),
            (None, None) => {
                terminal::ask("Username: ", false).map_err(|_| Stopped::usage("say who you are: --user NAME"))?
            }
        };
        let safe: String =
            name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
        let file = format!("{}_{}_{safe}.json", args.server.host.replace(':', "_"), args.server.port);
        let state_file = files::folder().join(file);
        let saved: Saved =
            std::fs::read(&state_file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();

        let (credentials, login) = if let Some(token) = token {
            rest.token = token;
            (Credentials::Token, None)
        } else {
            let password = match std::env::var("CAUSERIE_PASSWORD") {
                Ok(password) => password,
                Err(_) => terminal::ask(&format!("Password of {name}: "), true)
                    .map_err(|_| Stopped::usage("give the password in CAUSERIE_PASSWORD"))?,
            };
            let login = sign_in(&mut rest, &name, &password, saved.device_id, args.signup)?;
            (Credentials::Password { user: name, password }, Some(login))
        };
        let (to_inbox, inbox) = mpsc::sync_channel(256);
        let terminal =
            Terminal::open(args.json, to_inbox.clone()).map_err(|error| Stopped::because(error.to_string()))?;
        let mut chat = Self {
            server: args.server.clone(),
            trust,
            rest,
            credentials,
            refresh_token: String::new(),
            token_until: u64::MAX,
            session: Session::new(saved),
            state_file,
            terminal,
            inbox,
            to_inbox,
            began: Instant::now(),
            link: None,
            links: 0,
            heard: 0,
            attempts: 0,
            connect_at: 0,
            current: None,
            wanted: args.room.clone(),
            early: Vec::new(),
            names_asked: HashMap::new(),
            leave_at: None,
            refused: false,
        };
        if let Some(login) = login {
            chat.signed_in(login);
        }
        Ok(chat)
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn signed_in(&mut self, login: Login) {
        self.token_until = match login.expires_in {
            0 => u64::MAX,
            seconds => self.now() + seconds.saturating_sub(30) * 1000,
        };
        self.refresh_token = login.refresh_token;
    }

    /// A token that is good for a while.
    fn fresh_token(&mut self) -> Result<(), RestError> {
        let Credentials::Password { user, password } = &self.credentials else { return Ok(()) };
        let login = match self.rest.refresh(&self.refresh_token) {
            Err(RestError::Refused { .. }) => {
                let device = self.session.saved().device_id;
                self.rest.token.clear();
                self.rest.login(user, password, device)?
            }
            other => other?,
        };
        self.signed_in(login);
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Stopped> {
        if self.token_until <= self.now() {
            match self.fresh_token() {
                Ok(()) => {}
                Err(RestError::Unreachable(why)) => {
                    self.try_later(&why);
                    return Ok(());
                }
                Err(refused) => return Err(Stopped::because(refused.to_string())),
            }
        }
        self.links += 1;
        match Link::open(&self.server, &self.trust.config, self.links, self.to_inbox.clone()) {
            Ok(link) => {
                self.link = Some(link);
                self.heard = self.now();
                self.session.connected(&self.rest.token);
                let early = self.link.as_mut().map_or(Ok(Vec::new()), Link::read);
                self.came(early)
            }
            Err(why) => {
                self.try_later(&why);
                Ok(())
            }
        }
    }

    /// Doubles the wait with each attempt, and spreads clients that lost their server at the same moment.
    fn try_later(&mut self, why: &str) {
        let (from, to) = BACKOFF_MS;
        let wait = (from << self.attempts.min(10)).min(to);
        let chance = u64::from(Uuid::new_v4().as_fields().0);
        let wait = wait / 2 + chance % (wait / 2 + 1);
        if self.attempts == 0 {
            self.note(&format!("The connection is gone ({why}); trying again by itself."));
        }
        self.attempts += 1;
        self.connect_at = self.now() + wait;
    }

    fn lost(&mut self, why: &str) {
        self.link = None;
        self.session.lost();
        self.try_later(why);
    }

    fn turn(&mut self) -> Result<(), Stopped> {
        loop {
            self.carry_out()?;
            if let Some(at) = self.leave_at {
                let waiting = self.session.pending() + self.early.len();
                if waiting == 0 || self.now() >= at {
                    if let Some(link) = self.link.take() {
                        link.close();
                    }
                    return if waiting > 0 {
                        Err(Stopped::because(format!("{waiting} lines were not sent")))
                    } else if self.refused {
                        Err(Stopped::because("not every line was accepted"))
                    } else {
                        Ok(())
                    };
                }
            }
            let wake = match &self.link {
                Some(_) => self.session.next_deadline().unwrap_or(u64::MAX).min(self.heard + SILENT_MS),
                None => self.connect_at,
            };
            let wake = wake.min(self.leave_at.unwrap_or(u64::MAX));
            let wait = Duration::from_millis(wake.saturating_sub(self.now()).min(60_000));
            match self.inbox.recv_timeout(wait) {
                Ok(Input::Typed(Typed::Line(line))) => self.line(&line)?,
                Ok(Input::Typed(Typed::End)) => self.leave_at = Some(self.now() + FAREWELL_MS),
                Ok(Input::Socket(said)) => self.said(said)?,
                Err(RecvTimeoutError::Timeout) => self.tick()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn tick(&mut self) -> Result<(), Stopped> {
        let now = self.now();
        match &self.link {
            None if self.connect_at <= now => self.connect(),
            Some(_) if self.heard + SILENT_MS <= now => {
                self.lost("nothing came for a while");
                Ok(())
            }
            _ => {
                self.session.tick(now);
                Ok(())
            }
        }
    }

    fn said(&mut self, said: FromSocket) -> Result<(), Stopped> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match said {
            FromSocket::Bytes(number, bytes) if number == link.number => {
                let came = link.feed(&bytes);
                self.heard = self.now();
                self.came(came)
            }
            FromSocket::Gone(number, why) if number == link.number => {
                self.lost(&why);
                Ok(())
            }
            // Of a connection that was given up.
            FromSocket::Bytes(..) | FromSocket::Gone(..) => Ok(()),
        }
    }

    fn came(&mut self, came: Result<Vec<Came>, String>) -> Result<(), Stopped> {
        let came = match came {
            Ok(came) => came,
            Err(why) => {
                self.lost(&why);
                return Ok(());
            }
        };
        for item in came {
            match item {
                Came::Text(text) => {
                    let now = self.now();
                    self.session.frame(&text, now);
                    if self.session.ready() {
                        self.attempts = 0;
                    }
                    self.carry_out()?;
                }
                Came::Closed(code, reason) => return self.closed(code, &reason),
            }
        }
        Ok(())
    }

    /// 44xx: something has to change first; 45xx and everything else: come back.
    fn closed(&mut self, code: u16, reason: &str) -> Result<(), Stopped> {
        match code {
            4401 if matches!(self.credentials, Credentials::Password { .. }) && self.attempts < 3 => {
                self.token_until = 0;
                self.lost(reason);
                Ok(())
            }
            4400..=4499 => {
                Err(Stopped::because(format!("the server ended the connection: {} ({code})", harmless(reason))))
            }
            _ => {
                self.lost(reason);
                Ok(())
            }
        }
    }

    fn carry_out(&mut self) -> Result<(), Stopped> {
        let mut save = false;
        loop {
            let effects = self.session.effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                match effect {
                    Effect::Send(text) => {
                        let sent = self.link.as_mut().map_or(Ok(()), |link| link.send(text));
                        if let Err(why) = sent {
                            self.lost(&why);
                        }
                    }
                    Effect::Show(shown) => self.show(shown)?,
                    Effect::Save => save = true,
                    Effect::Refresh => match self.fresh_token() {
                        Ok(()) => self.session.token(&self.rest.token),
                        Err(error) => self.note(&format!("There is no new token: {error}")),
                    },
                    Effect::Reconnect { after_ms } => {
                        if let Some(link) = self.link.take() {
                            link.close();
                        }
                        self.session.lost();
                        self.connect_at = self.now() + after_ms;
                    }
                }
            }
        }
        // After it was shown: who is killed between the two sees it again rather than not at all.
        if save {
            let bytes = serde_json::to_vec(&self.session.saved()).unwrap_or_default();
            if let Err(error) = files::write(&self.state_file, &bytes) {
                self.note(&format!("Positions cannot be kept: {error}"));
            }
        }
        Ok(())
    }
}

/// Signs in, or makes the account when that is wanted.
fn sign_in(rest: &mut Rest, user: &str, password: &str, device: Option<Uuid>, signup: bool) -> Result<Login, Stopped> {
    let stopped = |error: RestError| Stopped::because(error.to_string());
    if signup {
        return match rest.signup(user, password, device) {
            Err(error) if error.is("name_taken") => rest.login(user, password, device).map_err(stopped),
            other => other.map_err(stopped),
        };
    }
    match rest.login(user, password, device) {
        Err(error) if error.is("bad_credentials") && terminal::is_interactive() => {
            let question = format!("{error} Make a new account named {user} with this password? [yes/no] ");
            let answer = terminal::ask(&question, false).unwrap_or_default();
            if answer.eq_ignore_ascii_case("yes") {
                rest.signup(user, password, device).map_err(stopped)
            } else {
                Err(stopped(error))
            }
        }
        Err(error) if error.is("bad_credentials") => {
            Err(Stopped::because(format!("{error} (--signup makes a new account)")))
        }
        other => other.map_err(stopped),
    }
}
