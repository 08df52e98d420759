//! Access tokens made by somebody else's library, good ones and forged ones. The vectors were made once with PyJWT.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeMap;

use causerie::auth::claims::{Flaw, Rules};
use causerie::auth::keyset::{Algorithm, Key, KeyFlaw, parse_jwks};
use causerie::auth::token::{KeyId, SetFlaw, Signer, Verifier, sign_with_secret};
use causerie::base::{Code, DeviceId, SessionId, UserId, WallTime};
use uuid::Uuid;

#[derive(serde::Deserialize)]
struct Vectors {
    now: u64,
    secrets: Vec<String>,
    public_keys: BTreeMap<String, String>,
    jwks: serde_json::Value,
    good: BTreeMap<String, String>,
    bad: BTreeMap<String, String>,
    go42_good: BTreeMap<String, String>,
    go42_bad: BTreeMap<String, String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/tokens.json")).expect("the vectors are JSON")
}

impl Vectors {
    fn now(&self) -> WallTime {
        WallTime(self.now * 1000)
    }

    fn pem(&self, name: &str) -> Result<Key, KeyFlaw> {
        Key::pem(self.public_keys[name].as_bytes())
    }

    /// One verifier with keys of all four algorithms.
    fn external(&self) -> Verifier {
        let keys = vec![
            Key::secret(&self.secrets[0]).expect("a secret"),
            self.pem("rsa").expect("a key"),
            self.pem("p256").expect("a key"),
            self.pem("ed25519").expect("a key"),
        ];
        Verifier::external(rules(), KeyId::Header, &Algorithm::ALL, keys).expect("a set")
    }

    fn go42(&self, secrets: &[usize]) -> Verifier {
        let rules = Rules { issuers: vec!["go42".to_owned()], audiences: vec!["go42".to_owned()], ..Rules::default() };
        let keys = secrets.iter().map(|n| Key::secret_with_hash(&self.secrets[*n]).expect("a secret")).collect();
        Verifier::external(rules, KeyId::ClaimSha256, &[Algorithm::Hs256], keys).expect("a set")
    }
}

fn rules() -> Rules {
    Rules { issuers: vec!["https://id.example".to_owned()], audiences: vec!["causerie".to_owned()], ..Rules::default() }
}

const SUBJECT: &str = "0190a5b4-3a3e-7cc3-8d5e-2f9f3f1f0a11";

#[test]
fn foreign_tokens_of_all_four_algorithms_are_accepted() {
    let vectors = vectors();
    let verifier = vectors.external();
    assert_eq!(vectors.good.len(), 7);
    for (name, token) in &vectors.good {
        let claims = verifier.check(token, vectors.now()).unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
        let external = claims.external.expect("of an external issuer");
        assert_eq!(external.issuer, "https://id.example", "{name}");
        assert_eq!(external.username.as_deref(), Some("ann.smith"), "{name}");
        assert_eq!(external.display_name.as_deref(), Some("Ann Smith"), "{name}");
        if name == "subject_not_uuid" {
            assert_eq!(external.subject, "auth0|42");
            assert_eq!(claims.user.0.get_version_num(), 8);
        } else {
            assert_eq!(claims.user.to_string(), SUBJECT, "{name}");
        }
        assert_eq!(claims.session.0.get_version_num(), 8, "{name}");
    }
}

#[test]
fn the_same_keys_from_a_jwks_check_the_same_tokens_and_odd_entries_are_passed_over() {
    let vectors = vectors();
    let set = parse_jwks(vectors.jwks.to_string().as_bytes()).expect("a JWKS");
    let ids: Vec<_> = set.keys.iter().map(Key::id).collect();
    assert_eq!(ids, [Some("rsa-1"), Some("ec-1"), Some("ed-1")]);
    let skipped: BTreeMap<_, _> = set.skipped.into_iter().collect();
    assert_eq!(skipped["for-encryption"], KeyFlaw::Use);
    assert_eq!(skipped["secret"], KeyFlaw::Secret);
    assert_eq!(skipped["p384"], KeyFlaw::Kind);
    assert_eq!(skipped["weak"], KeyFlaw::Weak);
    assert_eq!(skipped["mismatch"], KeyFlaw::Mismatch);
    assert_eq!(skipped["future"], KeyFlaw::Kind);
    assert_eq!(skipped["number 10"], KeyFlaw::Kind);

    let allowed = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
    let verifier = Verifier::external(rules(), KeyId::Header, &allowed, set.keys).expect("a set");
    for name in ["rs256", "es256", "eddsa"] {
        assert!(verifier.check(&vectors.good[name], vectors.now()).is_ok(), "{name}");
    }
    // Not in the allow-list, whatever the keys are.
    assert_eq!(verifier.check(&vectors.good["hs256"], vectors.now()), Err(Flaw::Algorithm));
    // A kid that no key has.
    let renamed = vectors.jwks.to_string().replace("\"ec-1\"", "\"ec-2\"");
    let keys = parse_jwks(renamed.as_bytes()).expect("a JWKS").keys;
    let verifier = Verifier::external(rules(), KeyId::Header, &allowed, keys).expect("a set");
    assert_eq!(verifier.check(&vectors.good["es256"], vectors.now()), Err(Flaw::NoKey));
}

#[test]
fn every_forgery_is_refused_for_its_own_reason() {
    let vectors = vectors();
    let verifier = vectors.external();
    for (name, token) in &vectors.bad {
        let flaw = verifier.check(token, vectors.now()).expect_err(name);
        let expected: &[Flaw] = match name.as_str() {
            "alg_none" | "alg_none_signed" | "alg_None_case" | "hs384" | "ps256" => &[Flaw::Algorithm],
            "alg_missing"
            | "payload_list"
            | "payload_not_json"
            | "two_parts"
            | "four_parts"
            | "whitespace"
            | "signature_cut"
            | "signature_standard_base64" => &[Flaw::Malformed, Flaw::Signature],
            "crit" => &[Flaw::Critical],
            "expired" => &[Flaw::Expired],
            "no_exp" | "exp_text" | "exp_negative" | "exp_null" => &[Flaw::Claim("exp")],
            "nbf_future" => &[Flaw::Future("nbf")],
            "iat_future" => &[Flaw::Future("iat")],
            "iss_wrong" | "iss_missing" => &[Flaw::Issuer],
            "iss_list" => &[Flaw::Claim("iss")],
            "aud_wrong" | "aud_missing" | "aud_empty_list" => &[Flaw::Audience],
            "aud_object" => &[Flaw::Claim("aud")],
            "sub_missing" | "sub_empty" | "sub_number" => &[Flaw::Claim("sub")],
            "rs256_unknown_kid_weak_key" => &[Flaw::Signature, Flaw::NoKey],
            _ => &[Flaw::Signature],
        };
        assert!(expected.contains(&flaw), "{name}: {flaw:?}");
        let told = verifier.verify(token, vectors.now()).expect_err(name);
        let code = if name == "expired" { Code::TokenExpired } else { Code::NotAuthenticated };
        assert_eq!((told.code, told.detail), (code, None), "{name}");
    }
    assert!(vectors.bad.len() >= 45);
}

#[test]
fn times_are_held_against_the_now_that_is_handed_in_with_leeway() {
    let vectors = vectors();
    let verifier = vectors.external();
    let token = &vectors.good["hs256"];
    let exp = vectors.now().plus_ms(600_000);
    let claims = verifier.check(token, exp.plus_ms(29_999)).expect("within the leeway");
    assert_eq!(claims.expires_at, exp.plus_ms(30_000));
    assert_eq!(verifier.check(token, claims.expires_at), Err(Flaw::Expired));
    let iat = WallTime(vectors.now().0 - 10_000);
    assert_eq!(claims.issued_at, iat);
    assert!(verifier.check(token, WallTime(iat.0 - 30_000)).is_ok());
    assert_eq!(verifier.check(token, WallTime(iat.0 - 30_001)), Err(Flaw::Future("iat")));
}

#[test]
fn a_token_that_names_an_audience_is_refused_where_none_is_configured() {
    let vectors = vectors();
    let keys = || vec![Key::secret(&vectors.secrets[0]).expect("a secret")];
    let open = Verifier::external(Rules::default(), KeyId::Header, &[Algorithm::Hs256], keys()).expect("a set");
    assert_eq!(open.check(&vectors.good["hs256"], vectors.now()), Err(Flaw::Audience));
    assert!(open.check(&vectors.bad["aud_missing"], vectors.now()).is_ok());
}

#[test]
fn go42_tokens_choose_their_secret_by_a_kid_among_the_claims() {
    let vectors = vectors();
    let verifier = vectors.go42(&[0, 1, 2]);
    for (name, token) in &vectors.go42_good {
        let claims = verifier.check(token, vectors.now()).unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
        assert_eq!(claims.user.to_string(), SUBJECT, "{name}");
    }
    for (name, token) in &vectors.go42_bad {
        let flaw = verifier.check(token, vectors.now()).expect_err(name);
        let expected = match name.as_str() {
            "wrong_issuer" => Flaw::Issuer,
            "wrong_audience" => Flaw::Audience,
            _ => Flaw::Signature,
        };
        assert_eq!(flaw, expected, "{name}");
    }
    assert_eq!((vectors.go42_good.len(), vectors.go42_bad.len()), (5, 10));
}

#[test]
fn go42_secrets_are_rotated_one_by_one() {
    let vectors = vectors();
    let token = |n: usize| &vectors.go42_good[&format!("secret_{n}")];
    // First only the oldest, then the next ones in front of it, then it goes.
    for (secrets, accepted) in [
        (&[2][..], [false, false, true]),
        (&[1, 2], [false, true, true]),
        (&[0, 1, 2], [true, true, true]),
        (&[0, 1], [true, true, false]),
        (&[0], [true, false, false]),
    ] {
        let verifier = vectors.go42(secrets);
        for (n, expected) in accepted.into_iter().enumerate() {
            assert_eq!(verifier.check(token(n), vectors.now()).is_ok(), expected, "{secrets:?} and secret {n}");
        }
    }
    let four = vec![Key::secret_with_hash("x").expect("a secret"); 4];
    let made = Verifier::external(Rules::default(), KeyId::ClaimSha256, &[Algorithm::Hs256], four);
    assert_eq!(made.err(), Some(SetFlaw::ClaimSecrets));
}

#[test]
fn a_token_of_a_load_run_is_a_go42_token() {
    let vectors = vectors();
    let payload = serde_json::json!({
        "iss": "go42", "aud": ["go42"], "sub": SUBJECT, "exp": vectors.now + 60, "iat": vectors.now,
    });
    for secret in &vectors.secrets {
        let payload = payload.as_object().expect("an object").clone();
        let token = sign_with_secret(secret, KeyId::ClaimSha256, payload).expect("signed");
        assert!(vectors.go42(&[0, 1, 2]).check(&token, vectors.now()).is_ok());
    }
}

#[test]
fn keys_that_cannot_be_used_are_named_when_they_are_read() {
    let vectors = vectors();
    assert_eq!(vectors.pem("rsa").expect("a key").algorithm(), Algorithm::Rs256);
    assert_eq!(vectors.pem("rsa_pkcs1").expect("a key").algorithm(), Algorithm::Rs256);
    assert_eq!(vectors.pem("p256").expect("a key").algorithm(), Algorithm::Es256);
    assert_eq!(vectors.pem("ed25519").expect("a key").algorithm(), Algorithm::EdDsa);
    assert_eq!(vectors.pem("rsa_1024").err(), Some(KeyFlaw::Weak));
    assert_eq!(vectors.pem("p384").err(), Some(KeyFlaw::Kind));
    let private = vectors.public_keys["p256"].replace("PUBLIC", "PRIVATE");
    assert_eq!(Key::pem(private.as_bytes()).err(), Some(KeyFlaw::Private));
    assert_eq!(Key::pem(b"-----BEGIN CERTIFICATE-----\n").err(), Some(KeyFlaw::Certificate));
    assert_eq!(Key::pem(b"hello").err(), Some(KeyFlaw::NotPem));
    assert_eq!(Key::secret("").err(), Some(KeyFlaw::Empty));
    assert_eq!(parse_jwks(b"{}").err(), Some(KeyFlaw::NotJwks));
    let key = || vec![vectors.pem("rsa").expect("a key")];
    let made = Verifier::external(rules(), KeyId::Header, &[Algorithm::Es256], key());
    assert_eq!(made.err(), Some(SetFlaw::NotAllowed(Algorithm::Rs256)));
    assert!(!format!("{:?}", vectors.external()).contains("gr"));
}

#[test]
fn own_tokens_are_checked_by_present_and_earlier_keys_and_by_no_others() {
    let signer = |n: u8| Signer::from_seed([n; 32], 900_000).expect("a key");
    let (user, session, device) =
        (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)), DeviceId(Uuid::from_u128(3)));
    let now = WallTime(1_795_000_000_500);
    let (token, expires_at) = signer(1).sign(user, session, device, now).expect("signed");
    assert_eq!(expires_at, WallTime(1_795_000_900_000));

    let both = Verifier::own(vec![signer(2).public().expect("a key"), signer(1).public().expect("a key")]);
    let both = both.expect("a set");
    let claims = both.check(&token, now).expect("an earlier key");
    assert_eq!((claims.user, claims.session, claims.device), (user, session, Some(device)));
    assert_eq!((claims.expires_at, claims.external), (expires_at, None));
    assert_eq!(both.check(&token, expires_at), Err(Flaw::Expired));
    assert_eq!(both.check(&token, WallTime(now.0 - 120_000)), Err(Flaw::Future("iat")));

    let newer = Verifier::own(vec![signer(2).public().expect("a key")]).expect("a set");
    assert_eq!(newer.check(&token, now), Err(Flaw::NoKey));
    assert_eq!(Verifier::own(vec![]).err(), Some(SetFlaw::NoKey));

    // A token of an external issuer that was signed with the very same key is none of ours.
    let vectors = vectors();
    let own = Verifier::own(vec![Key::pem(vectors.public_keys["ed25519"].as_bytes()).expect("a key")]).expect("a set");
    assert_eq!(own.check(&vectors.good["eddsa"], vectors.now()), Err(Flaw::NoKey));
}

/// A value that a claim might have, right or wrong.
fn any_claim() -> impl proptest::strategy::Strategy<Value = Option<serde_json::Value>> {
    use proptest::prelude::*;
    let now = 1_795_000_000.0;
    prop_oneof![
        Just(None),
        Just(Some(serde_json::Value::Null)),
        (-100.0..100.0f64).prop_map(move |seconds| Some((now + seconds).into())),
        any::<f64>().prop_map(|number| Some(number.into())),
        any::<i64>().prop_map(|number| Some(number.into())),
        "go42|causerie|[a-z]{0,3}|\\PC{0,40}".prop_map(|text| Some(text.into())),
        prop::collection::vec("go42|x", 0..3).prop_map(|list| Some(list.into())),
        any::<bool>().prop_map(|value| Some(value.into())),
    ]
}

proptest::proptest! {
    #[test]
    fn a_signed_payload_is_accepted_exactly_when_every_claim_is_right(
        iss in any_claim(), aud in any_claim(), sub in any_claim(), exp in any_claim(), iat in any_claim(),
        nbf in any_claim(), name in any_claim(), right in 0u8..64,
    ) {
        // Most claims are right most of the time, so that both answers occur.
        let or = |n: u8, value: serde_json::Value, odd: Option<serde_json::Value>| if right & (1 << n) == 0 { odd } else { Some(value) };
        let now = 1_795_000_000i64;
        let claims = [
            ("iss", or(0, "go42".into(), iss)),
            ("aud", or(1, "go42".into(), aud)),
            ("sub", or(2, SUBJECT.into(), sub)),
            ("exp", or(3, (now + 60).into(), exp)),
            ("iat", or(4, now.into(), iat)),
            ("nbf", or(5, now.into(), nbf)),
            ("preferred_username", name),
        ];
        let payload: serde_json::Map<_, _> =
            claims.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let vectors = vectors();
        let token = sign_with_secret(&vectors.secrets[0], KeyId::ClaimSha256, payload.clone()).expect("signed");
        let said = vectors.go42(&[0]).check(&token, vectors.now());

        let number = |name: &str| payload.get(name).and_then(serde_json::Value::as_f64);
        let now = 1_795_000_000.0;
        let past = |name: &str| match payload.get(name) {
            None => true,
            Some(_) => number(name).is_some_and(|at| (0.0..now + 30.001).contains(&at)),
        };
        let for_us = match payload.get("aud") {
            Some(serde_json::Value::String(text)) => text == "go42",
            Some(serde_json::Value::Array(list)) => list.iter().any(|item| item == "go42"),
            _ => false,
        };
        let expected = payload.get("iss").is_some_and(|iss| iss == "go42")
            && for_us
            && payload.get("sub").and_then(serde_json::Value::as_str).is_some_and(|sub| !sub.is_empty())
            && number("exp").is_some_and(|exp| exp > now - 30.0)
            && past("iat")
            && past("nbf");
        proptest::prop_assert_eq!(said.is_ok(), expected, "{:?}: {:?}", payload, said);
    }

    #[test]
    fn nothing_that_is_shown_makes_it_panic_or_is_accepted(text in "\\PC{0,200}", place in 0usize..600, to in "[A-Za-z0-9_.=-]") {
        let vectors = vectors();
        let verifier = vectors.external();
        proptest::prop_assert!(verifier.check(&text, vectors.now()).is_err());
        // One character of a good token changed.
        let good = &vectors.good["hs256"];
        let place = place % good.len();
        let odd = format!("{}{to}{}", &good[..place], &good[place + 1..]);
        if odd != *good {
            proptest::prop_assert!(verifier.check(&odd, vectors.now()).is_err(), "{}", odd);
        }
    }
}
