//! What the client's page and its workers may do, as their Content Security Policy.
//!
//! It stands on every file of the client, for a worker takes its policy from its own response, not from the page. A browser test sees to it
//! that the client works within it.

use http::HeaderValue;

/// The two hashes are those of the style sheets that react-aria writes into the page: one when something is pressed for the first time, one while
/// a dialog is open on iOS. A new version may need new ones; then the browser test says so.
///
/// Everything from this server and nothing from anywhere else; no script in the page's text; no text that becomes a script or markup
/// (Trusted Types), except through the client's one policy, which lets its own workers be named.
pub const PAGE: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; \
     script-src 'self'; \
     style-src 'self' 'sha256-38RhXrc7EdReTKsOm23ZPOCUgniTUUcjky8QOOrQx6o=' 'sha256-gYiS/BvZvRcK27JIXTuwhZ3hs2+VJ1X+2gUlE+farlg='; \
     img-src 'self' data: blob:; \
     connect-src 'self'; \
     font-src 'self'; \
     manifest-src 'self'; \
     worker-src 'self'; \
     base-uri 'none'; \
     form-action 'none'; \
     frame-ancestors 'none'; \
     require-trusted-types-for 'script'; \
     trusted-types causerie",
);
