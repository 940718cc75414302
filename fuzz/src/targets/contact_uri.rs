//! Text as a contact URI (`docs/PROTOCOL.md` §3).

use kez_core::{
    Code,
    contact_uri::ContactUri,
    handle::{Handle, Policy},
};

use super::input::{Seed, alice, fill_in};

pub fn run(data: &[u8]) {
    let Ok(template) = std::str::from_utf8(data) else { return };
    let text = fill_in(template, &[("$KEY", &alice().primary().to_string())]);
    for policy in [Policy::Production, Policy::Development] {
        let uri = match ContactUri::parse(&text, policy) {
            Ok(uri) => uri,
            Err(error) => {
                assert!(matches!(error.code(), Code::BadUri | Code::BadKey), "{error}");
                continue;
            }
        };
        let shown = uri.to_string();
        assert_eq!(ContactUri::parse(&shown, policy).as_ref(), Ok(&uri));
        // Whatever else was there is a later version's member.
        let rest = text.strip_prefix(&shown).unwrap();
        assert!(rest.is_empty() || rest.starts_with('&'));
        assert!(uri.sigchain_base.starts_with("https://") || policy == Policy::Development);
        assert!(!uri.sigchain_base.contains(['@', '?', '#', ' ']) || uri.sigchain_base.contains('/'));
        if let Some(handle) = &uri.handle {
            assert_eq!(Handle::from_qualified(&handle.to_string(), policy).as_ref(), Ok(handle));
        }
    }
    if let Ok(strict) = ContactUri::parse(&text, Policy::Production) {
        assert_eq!(ContactUri::parse(&text, Policy::Development), Ok(strict));
    }
}

pub fn seeds() -> Vec<Seed> {
    [
        ("whole", "kez:$KEY?h=alice@kez.lat&sig=https://sig.kez.lat".to_owned()),
        ("no-handle", "kez:$KEY?h=&sig=https://sig.kez.lat:8443/base".to_owned()),
        ("escaped", "kez:$KEY?h=&sig=https://sig.kez.lat/%25".to_owned()),
        ("later-members", "kez:$KEY?h=&sig=https://s&later=&other=a%20b".to_owned()),
        ("development", "kez:$KEY?h=al@localhost:80&sig=http://localhost:7878".to_owned()),
        ("wrong-escape", "kez:$KEY?h=%61l@kez.lat&sig=https://s".to_owned()),
        ("user", "kez:$KEY?h=&sig=https://u%3Ap@s".to_owned()),
        ("twice", "kez:$KEY?h=&sig=https://s&h=again".to_owned()),
        ("unsound-key", format!("kez:ed25519:{}?h=&sig=https://s", "00".repeat(32))),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
    .into()
}
