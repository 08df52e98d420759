//! What browsers need: the refresh token in a cookie that no script can read, and a look at `Origin`.

use http::{HeaderMap, HeaderValue, header};

use super::super::{Problem, RestState};
use crate::auth::session::RefreshToken;
use crate::base::{Code, Session, WallTime};
use crate::store::NameKind;

/// `__Host-`: only over TLS, only for this host, for all of its paths (RFC 6265bis).
const NAME: &str = "__Host-causerie";

/// The request comes from a page of this server's own origin or an allowed one. Programs that are no browsers send no `Origin`,
/// which is fine unless a cookie is used (`required`): browsers send one with every POST.
///
/// # Errors
/// `bad_origin`.
pub(super) fn check_origin(state: &RestState, headers: &HeaderMap, required: bool) -> Result<(), Problem> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = match (origins.next(), origins.next()) {
        (None, _) if !required => return Ok(()),
        (None, _) => {
            return Err(Problem::because(
                Code::BadOrigin,
                "A request that uses the cookie must carry the header Origin.",
            ));
        }
        (Some(origin), None) => origin.to_str().unwrap_or_default(),
        (Some(_), Some(_)) => "",
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = !host.is_empty() && origin.strip_prefix("https://").is_some_and(|o| o.eq_ignore_ascii_case(host));
    if own || state.auth.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    Err(Code::BadOrigin.into())
}

/// The refresh token in the cookie, if there is exactly one.
pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = all
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == NAME)
        .map(|(_, value)| value.to_owned());
    values.next().filter(|_| values.next().is_none())
}

/// The header that sets the cookie for `seconds`.
pub(super) fn set_cookie(token: &str, seconds: u64) -> Result<HeaderValue, Problem> {
    let text = format!("{NAME}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::from_str(&text).map_err(|_| Problem::internal("a refresh token does not fit a header"))
}

/// For so long after an exchange the same cookie may be shown again, in milliseconds.
const AGAIN_MS: u64 = 30_000;

/// The secret of the token that follows on a cookie's: always the same one. A page that is closed or loaded anew while it refreshes never sees
/// the answer, and its browser shows the old cookie again; if that counted as a theft, whoever reloads twice would be signed out.
///
/// It cannot be known without the server's key. No name has a control character, so no name has this key.
pub(super) fn successor(state: &RestState, token: &RefreshToken) -> [u8; 32] {
    state.gateway.backend().name_key(NameKind::User, &format!("\0refresh\0{}", token.text())).0
}

/// Whether this exchange was done a moment ago, and nothing has come after it. Who stole the old cookie gains a moment and is found out as before:
/// of two who hold the same successor, one uses it later.
pub(super) fn asked_again(session: &Session, token: &RefreshToken, next: &RefreshToken, now: WallTime) -> bool {
    token.hash() == session.previous_hash
        && next.hash() == session.refresh_hash
        && now < session.used_at.plus_ms(AGAIN_MS)
}

/// The header that removes the cookie.
pub(super) fn remove_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-causerie=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict")
}
