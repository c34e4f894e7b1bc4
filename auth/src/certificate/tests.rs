use super::*;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};

fn certificate(subject: &[(DnType, &str)], names: Vec<SanType>) -> Vec<u8> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.subject_alt_names = names;
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn rule(from: CertificatePart, pattern: &str, user: &str) -> CertificateRule {
    CertificateRule { from, pattern: pattern.to_owned(), user: user.to_owned() }
}

fn user(rules: &[CertificateRule], der: &[u8]) -> Option<String> {
    CertificateRules::new(rules).unwrap().name(der).map(|named| named.user)
}

#[test]
fn without_rules_it_is_the_common_name() {
    let alice = certificate(&[(DnType::CommonName, "alice")], vec![dns("client.example")]);
    let named = CertificateRules::new(&[]).unwrap().name(&alice).unwrap();
    assert_eq!(named, Named { user: "alice".into(), until: 1_893_456_000_000 });
    assert_eq!(user(&[], b"not a certificate"), None);
    assert_eq!(user(&[], &alice[..alice.len() / 2]), None);
    assert_eq!(user(&[], &certificate(&[], vec![dns("alice")])), None);
    for odd in ["a b", "a:b", "a\nb", "a\0b", "", &"a".repeat(129)] {
        assert_eq!(user(&[], &certificate(&[(DnType::CommonName, odd)], vec![])), None, "{odd:?}");
    }
}

/// OpenSSL makes one with two common names, rcgen does not.
#[test]
fn two_common_names_name_nobody() {
    let certificate = include_bytes!("two-names.der");
    assert_eq!(user(&[], certificate), None);
    assert_eq!(user(&[rule(CertificatePart::CommonName, "*", "*")], certificate), None);
    let whole = rule(CertificatePart::Subject, "CN=bob,CN=alice", "both");
    assert_eq!(user(&[whole], certificate).as_deref(), Some("both"));
}

#[test]
fn the_first_rule_that_fits_decides() {
    let shop = [
        rule(CertificatePart::Subject, "CN=*,OU=shop,O=Example", "shop-*"),
        rule(CertificatePart::Dns, "*.clients.example", "*"),
        rule(CertificatePart::Email, "*@example.org", "*"),
        rule(CertificatePart::Uri, "spiffe://example.org/ns/prod/sa/*", "sa/*"),
        rule(CertificatePart::CommonName, "root", "operator"),
    ];
    let of = |subject: &[(DnType, &str)], names| user(&shop, &certificate(subject, names));
    let in_shop = [
        (DnType::OrganizationName, "Example"),
        (DnType::OrganizationalUnitName, "shop"),
        (DnType::CommonName, "till-1"),
    ];
    assert_eq!(of(&in_shop, vec![dns("x.clients.example")]).as_deref(), Some("shop-till-1"));
    assert_eq!(of(&in_shop[1..], vec![]), None);
    assert_eq!(of(&[], vec![dns("other.example"), dns("x.clients.example")]).as_deref(), Some("x"));
    let mail = SanType::Rfc822Name("eve@example.org".try_into().unwrap());
    assert_eq!(of(&[], vec![mail]).as_deref(), Some("eve"));
    let spiffe = SanType::URI("spiffe://example.org/ns/prod/sa/orders".try_into().unwrap());
    assert_eq!(of(&[], vec![spiffe]).as_deref(), Some("sa/orders"));
    assert_eq!(of(&[(DnType::CommonName, "root")], vec![]).as_deref(), Some("operator"));
    assert_eq!(of(&[(DnType::CommonName, "roots")], vec![]), None);
    assert_eq!(of(&[], vec![dns(".clients.example")]), None, "the * stands for something");
}

#[test]
fn names_that_mean_different_users_name_nobody() {
    let rules = [rule(CertificatePart::Dns, "*.example", "*"), rule(CertificatePart::CommonName, "*", "*")];
    let of = |names| user(&rules, &certificate(&[(DnType::CommonName, "alice")], names));
    assert_eq!(of(vec![dns("a.example"), dns("b.example")]), None, "nor does a later rule decide then");
    assert_eq!(of(vec![dns("a.example"), dns("a.example")]).as_deref(), Some("a"));
}

/// Whoever may choose their common name must not choose their department.
#[test]
fn a_name_cannot_pretend_to_be_several_parts() {
    let rules = [rule(CertificatePart::Subject, "CN=*,OU=shop,O=Example", "shop-*")];
    for name in ["eve,OU=shop,O=Example", "eve\\,OU=shop,O=Example", "eve, OU=shop, O=Example"] {
        assert_eq!(user(&rules, &certificate(&[(DnType::CommonName, name)], vec![])), None, "{name}");
    }
    let written = |name: &str| {
        let der = certificate(&[(DnType::CommonName, name)], vec![]);
        subject(X509Certificate::from_der(&der).unwrap().1.subject()).unwrap()
    };
    assert_eq!(written(" #a,b+c=d\\ "), "CN=\\ #a\\,b\\+c\\=d\\\\\\ ");
    assert_eq!(written("#a"), "CN=\\#a");
}

/// What looks like another name is another user; nothing is folded.
#[test]
fn confusable_names_are_other_names() {
    for name in ["аlice", "Alice", "alice\u{200b}", "ａlice"] {
        let named = user(&[], &certificate(&[(DnType::CommonName, name)], vec![]));
        assert_ne!(named.as_deref(), Some("alice"), "{name}");
    }
}

#[test]
fn rules_that_cannot_be_meant_are_refused() {
    for (pattern, user, why) in [
        ("*.*", "a", "one *"),
        ("*", "**", "one *"),
        ("a", "*", "stands for nothing"),
        ("*", "", "1 to 128"),
        ("*", "a b", "may not contain"),
    ] {
        let error = CertificateRules::new(&[rule(CertificatePart::Dns, pattern, user)]).err().unwrap();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(toml::from_str::<CertificateRule>("from = \"dns\"\npattern = \"*\"\nuser = \"*\"").is_ok());
    for wrong in ["from = \"ip\"\npattern = \"*\"\nuser = \"*\"", "from = \"dns\"\npattern = \"*\""] {
        assert!(toml::from_str::<CertificateRule>(wrong).is_err());
    }
}
