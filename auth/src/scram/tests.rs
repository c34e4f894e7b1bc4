use super::*;
use hmac::Hmac;
use proptest::prelude::*;
use sha1::Sha1;

const CLIENT: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

fn challenge(mechanism: ScramMechanism, first: &str) -> Challenge {
    let first = First::parse(first.as_bytes()).unwrap();
    Challenge::with_nonce(mechanism, first, STANDARD.decode(SALT).unwrap(), 4096, SERVER)
}

/// What the published password makes of the published salt.
fn pencil(mechanism: ScramMechanism) -> Keys {
    Keys::derive(mechanism, "pencil", &STANDARD.decode(SALT).unwrap(), 4096)
}

/// The example of RFC 7677, and the same with the longer hash, computed with another implementation.
#[test]
fn the_exchange_of_rfc_7677() {
    let sha256 = (
        ScramMechanism::Sha256,
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    );
    let sha512 = (
        ScramMechanism::Sha512,
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
        "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
    );
    for (mechanism, proof, signature) in [sha256, sha512] {
        let challenge = challenge(mechanism, &format!("n,,n=user,r={CLIENT}"));
        assert_eq!(challenge.text(), format!("r={CLIENT}{SERVER},s={SALT},i=4096"));
        let last = format!("c=biws,r={CLIENT}{SERVER},p={proof}");
        let answer = challenge.answer(last.as_bytes()).unwrap();
        assert_eq!(answer.verify(&pencil(mechanism)), Some(format!("v={signature}")));
        let other = Keys::derive(mechanism, "pencil ", &challenge.salt, 4096);
        assert_eq!(answer.verify(&other), None);
    }
}

/// The example of RFC 5802 has a hash that no client is offered here; the arithmetic is the same.
#[test]
fn the_proof_of_rfc_5802() {
    let salt = STANDARD.decode("QSXCR+Q6sek8bf92").unwrap();
    let keys = Keys::of::<Hmac<Sha1>, Sha1>(&salted::<Hmac<Sha1>>(b"pencil", &salt, 4096));
    let nonce = "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
    let said =
        format!("n=user,r=fyko+d2lbbFgONRv9qkxdawL,r={nonce},s=QSXCR+Q6sek8bf92,i=4096,c=biws,r={nonce}");
    let proof = STANDARD.decode("v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=").unwrap();
    let signature = keys.verify::<Hmac<Sha1>, Sha1>(&[said.as_bytes()], &proof).unwrap();
    assert_eq!(STANDARD.encode(signature), "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
}

#[test]
fn what_is_kept_proves_as_the_password_does() {
    let kept = Scram::new(ScramMechanism::Sha256, "pencil");
    let derived = Keys::derive(kept.mechanism, "pencil", &kept.salt, kept.iterations);
    assert_eq!(kept.keys, derived.text());
    assert_eq!(kept.keys().unwrap().stored, derived.stored);
    assert_ne!(kept.salt, Scram::new(ScramMechanism::Sha256, "pencil").salt);
    assert!(Scram { keys: Secret::sealed(vec![1]), ..kept }.keys().is_none());
}

#[test]
fn a_credential_that_is_too_weak_or_makes_no_sense_is_refused() {
    let new = NewScram {
        user: "u".into(),
        mechanism: ScramMechanism::Sha512,
        iterations: 4096,
        salt: vec![1],
        salted_password: vec![0; 64],
    };
    assert_eq!(new.credential().unwrap().view(), ScramView { mechanism: new.mechanism, iterations: 4096 });
    for wrong in [
        NewScram { iterations: 4095, ..new.clone() },
        NewScram { iterations: 16_385, ..new.clone() },
        NewScram { salt: vec![], ..new.clone() },
        NewScram { salt: vec![0; 257], ..new.clone() },
        NewScram { salted_password: vec![0; 32], ..new },
    ] {
        assert!(wrong.credential().is_err(), "{wrong:?}");
    }
}

#[test]
fn names_are_read_as_they_are_spelled() {
    for (message, user) in [
        ("n,,n=a,r=x", Some("a")),
        ("y,,n=a,r=x", Some("a")),
        ("n,a=a,n=a,r=x", Some("a")),
        ("n,,n=a=2Cb=3Dc,r=x", Some("a,b=c")),
        ("n,a=a=2Cb,n=a=2Cb,r=x", Some("a,b")),
        ("n,,n=grün,r=x,tokenauth=true", Some("grün")),
        ("n,a=root,n=a,r=x", None),
        ("p=tls-unique,,n=a,r=x", None),
        ("n,,m=1,n=a,r=x", None),
        ("n,,n=,r=x", None),
        ("n,,n=a=2cb,r=x", None),
        ("n,,n=a=,r=x", None),
        ("n,,n=a=3,r=x", None),
        ("n,,n=a\0b,r=x", None),
        ("n,,n=a,r=", None),
        ("n,,n=a,r=x y", None),
        ("n,,n=a", None),
        ("n,n=a,r=x", None),
        ("n,x=a,n=a,r=x", None),
        ("", None),
    ] {
        let first = First::parse(message.as_bytes());
        assert_eq!(first.as_ref().map(|first| &*first.user), user, "{message:?}");
    }
    let long = format!("n,,n=a,r={}", "x".repeat(MAX_NONCE + 1));
    assert!(First::parse(long.as_bytes()).is_none());
    assert!(First::parse(&[b"n,,n=a,r=x,".as_slice(), &vec![b'e'; MAX_MESSAGE]].concat()).is_none());
    assert!(First::parse(b"n,,n=\xff,r=x").is_none());
}

#[test]
fn an_answer_belongs_to_its_challenge() {
    let challenge = challenge(ScramMechanism::Sha256, "n,,n=user,r=abc");
    let nonce = format!("abc{SERVER}");
    assert!(challenge.answer(format!("c=biws,r={nonce},p=AAAA").as_bytes()).is_some());
    assert!(challenge.answer(format!("c=biws,r={nonce},ext=1,p=AAAA").as_bytes()).is_some());
    assert!(
        challenge.answer(format!("c=biws,r=abc{nonce},p=AAAA").as_bytes()).is_some(),
        "the nonce may be there twice"
    );
    for wrong in [
        format!("c=eSws,r={nonce},p=AAAA"),
        format!("c=biws,r={nonce}x,p=AAAA"),
        format!("c=biws,r=abcabc{nonce},p=AAAA"),
        format!("c=biws,r=x{nonce},p=AAAA"),
        "c=biws,r=abc,p=AAAA".to_owned(),
        format!("c=biws,r={nonce}"),
        format!("c=biws,r={nonce},p=A"),
        format!("r={nonce},c=biws,p=AAAA"),
        format!("c=biws,r={nonce},p=AAAA,x=1"),
        String::new(),
    ] {
        assert!(challenge.answer(wrong.as_bytes()).is_none(), "{wrong:?}");
    }
}

/// A proof that is too short, too long or empty is a wrong one.
#[test]
fn proofs_of_another_length_prove_nothing() {
    let challenge = challenge(ScramMechanism::Sha256, &format!("n,,n=user,r={CLIENT}"));
    let keys = pencil(ScramMechanism::Sha256);
    let right = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
    let longer = [right.as_slice(), &[0]].concat();
    for proof in [&[], &right[..31], &longer] {
        let last = format!("c=biws,r={CLIENT}{SERVER},p={}", STANDARD.encode(proof));
        assert!(challenge.answer(last.as_bytes()).is_none_or(|answer| answer.verify(&keys).is_none()));
    }
}

proptest! {
    #[test]
    fn any_name_survives_its_spelling(name in "[^\0]{1,64}") {
        let message = format!("n,,n={},r=abc", name.replace('=', "=3D").replace(',', "=2C"));
        prop_assert_eq!(First::parse(message.as_bytes()).unwrap().user, name);
    }
}
