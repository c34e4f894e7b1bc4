//! Client certificates: the TLS layer has verified the chain; here a certificate becomes a user's name.
//!
//! Without rules it is the subject's common name. With `[[auth.certificates]]` the first rule whose pattern fits
//! decides, and a certificate that none fits logs nobody in. The one idea: it must be clear who is meant, so two common
//! names, or two alternative names that give different users by one rule, give none.
//!
//! A subject is compared as RFC 4514 writes it, most specific part first, with commas and the like escaped: a name
//! cannot pretend to be more than one part.

use crate::user::check_name;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sluice_model::{Error, Millis, Result};
use std::collections::HashMap;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// A certificate of more names is none of a client.
const MAX_NAMES: usize = 64;
/// About 1 MiB: as many clients at once as one machine has with certificates of their own.
const MAX_KNOWN: usize = 1024;

/// From a part of a certificate to the name of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRule {
    /// What is looked at.
    pub from: CertificatePart,
    /// What it looks like; one `*` may stand for some characters.
    pub pattern: String,
    /// The user's name; a `*` in it is what the pattern's `*` stands for.
    pub user: String,
}

/// A part of a certificate that can name someone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificatePart {
    /// The subject's common name, when there is exactly one.
    CommonName,
    /// The whole subject, as `CN=alice,OU=shop,O=Example`.
    Subject,
    /// The alternative names that are host names.
    Dns,
    /// Those that are e-mail addresses.
    Email,
    /// Those that are URIs, as SPIFFE's.
    Uri,
}

/// Whom a certificate names, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub user: String,
    pub until: Millis,
}

/// The operator's rules, checked; and what they said of certificates before, for some wires show one with each request.
pub(crate) struct CertificateRules {
    rules: Vec<CertificateRule>,
    known: Mutex<HashMap<Vec<u8>, Named, RandomState>>,
}

impl CertificateRules {
    /// # Errors
    /// `InvalidArgument` for a rule that cannot be meant so.
    pub(crate) fn new(rules: &[CertificateRule]) -> Result<Self> {
        for (at, rule) in rules.iter().enumerate() {
            let wrong = |why: &str| Error::invalid(format!("auth.certificates, rule {}: {why}", at + 1));
            let stars = |text: &str| text.matches('*').count();
            if stars(&rule.pattern) > 1 || stars(&rule.user) > 1 {
                return Err(wrong("pattern and user have one * at most"));
            }
            if stars(&rule.user) > stars(&rule.pattern) {
                return Err(wrong("the * of the user stands for nothing in the pattern"));
            }
            check_name("user", &rule.user).map_err(|error| wrong(error.message()))?;
        }
        Ok(Self { rules: rules.to_vec(), known: Mutex::default() })
    }

    /// None when it is no certificate, or not clear who is meant.
    pub(crate) fn name(&self, der: &[u8]) -> Option<Named> {
        if let Some(named) = self.known.lock().get(der) {
            return Some(named.clone());
        }
        let named = self.read(der)?;
        let mut known = self.known.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(der.to_vec(), named.clone());
        Some(named)
    }

    fn read(&self, der: &[u8]) -> Option<Named> {
        let (behind, certificate) = X509Certificate::from_der(der).ok()?;
        if !behind.is_empty() {
            return None;
        }
        let user = match &self.rules[..] {
            [] => common_name(&certificate)?.to_owned(),
            rules => rules.iter().find_map(|rule| rule.apply(&certificate))?.ok()?,
        };
        check_name("user", &user).ok()?;
        let until = u64::try_from(certificate.validity().not_after.timestamp()).ok()?.saturating_mul(1000);
        Some(Named { user, until })
    }
}

/// It fits, but it is not clear who is meant.
struct Ambiguous;

impl CertificateRule {
    fn apply(&self, certificate: &X509Certificate<'_>) -> Option<std::result::Result<String, Ambiguous>> {
        let texts: Vec<String> = match self.from {
            CertificatePart::CommonName => common_name(certificate).map(str::to_owned).into_iter().collect(),
            CertificatePart::Subject => subject(certificate.subject()).into_iter().collect(),
            part => alternative_names(certificate, part),
        };
        let mut users = texts.iter().filter_map(|text| self.user_of(text));
        let user = users.next()?;
        Some(if users.all(|other| other == user) { Ok(user) } else { Err(Ambiguous) })
    }

    fn user_of(&self, text: &str) -> Option<String> {
        let Some((start, end)) = self.pattern.split_once('*') else {
            return (text == self.pattern).then(|| self.user.clone());
        };
        let middle = text.strip_prefix(start)?.strip_suffix(end).filter(|middle| !middle.is_empty())?;
        Some(self.user.replacen('*', middle, 1))
    }
}

fn common_name<'c>(certificate: &'c X509Certificate<'_>) -> Option<&'c str> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    names.next().is_none().then_some(name)
}

fn subject(name: &X509Name<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.iter_rdn() {
        let mut written = Vec::new();
        for attribute in part.iter() {
            let kind = oid2abbrev(attribute.attr_type(), oid_registry()).map(str::to_owned);
            let kind = kind.unwrap_or_else(|_| attribute.attr_type().to_id_string());
            written.push(format!("{kind}={}", escape(attribute.as_str().ok()?)));
        }
        parts.push(written.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

/// As RFC 4514 has it, except that blanks and `#` are escaped nowhere else than at the ends.
fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        let at_an_end = (at == 0 && matches!(c, ' ' | '#')) || (at == last && c == ' ');
        if at_an_end || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn alternative_names(certificate: &X509Certificate<'_>, part: CertificatePart) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter().take(MAX_NAMES);
    let of_kind = names.filter_map(|name| match (name, part) {
        (GeneralName::DNSName(text), CertificatePart::Dns)
        | (GeneralName::RFC822Name(text), CertificatePart::Email)
        | (GeneralName::URI(text), CertificatePart::Uri) => Some((*text).to_owned()),
        _ => None,
    });
    of_kind.collect()
}

#[cfg(test)]
mod tests;
