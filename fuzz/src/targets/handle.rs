//! Text as a handle, and as a home (`docs/PROTOCOL.md` §2).

use kez_core::handle::{Handle, Home, Policy};

use super::input::Seed;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let own = Home::parse("kez.lat", Policy::Production).unwrap();
    for policy in [Policy::Production, Policy::Development] {
        let home = Home::parse(text, policy);
        if let Ok(home) = &home {
            check_home(home, policy);
            assert_eq!(home.to_string(), text.to_ascii_lowercase());
        }
        let parsed = Handle::parse(text, Some(&own), policy);
        assert_eq!(Handle::parse(&text.to_ascii_uppercase(), Some(&own), policy).ok(), parsed.clone().ok());
        let alone = Handle::parse(text, None, policy);
        let Ok(handle) = parsed else {
            assert!(alone.is_err() && Handle::from_qualified(text, policy).is_err());
            continue;
        };
        check_home(handle.home(), policy);
        assert!(alone.map_or_else(|_| *handle.home() == own, |alone| alone == handle));
        let name = handle.name().as_bytes();
        assert!((2..=32).contains(&name.len()));
        assert!(name.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(byte)));
        assert!(name[0].is_ascii_alphanumeric() && name[name.len() - 1].is_ascii_alphanumeric());

        let stored = handle.to_string();
        assert_eq!(Handle::from_qualified(&stored, policy).as_ref(), Ok(&handle));
        assert_eq!(Handle::from_qualified(text, policy).is_ok(), stored == text);
        assert_eq!(Handle::parse(&handle.display_for(&own), Some(&own), policy).as_ref(), Ok(&handle));
        assert_eq!(
            Handle::parse(&handle.display_for(handle.home()), Some(handle.home()), policy).as_ref(),
            Ok(&handle)
        );
    }
    if let Ok(strict) = Handle::parse(text, None, Policy::Production) {
        assert_eq!(Handle::parse(text, None, Policy::Development), Ok(strict));
    }
}

fn check_home(home: &Home, policy: Policy) {
    assert_eq!(Home::parse(&home.to_string(), policy).as_ref(), Ok(home));
    assert!(home.host().len() <= 253);
    for label in home.host().split('.') {
        assert!((1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-'));
        assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
    }
    // No resolver takes it for an address.
    assert!(home.host().parse::<std::net::IpAddr>().is_err());
    assert!(home.port() != Some(0));
    assert!(home.port().is_none() || policy == Policy::Development || home.is_localhost());
}

pub fn seeds() -> Vec<Seed> {
    [
        ("bare", "tudisco"),
        ("at", "@Tudisco"),
        ("qualified", "tudisco@kez.lat"),
        ("at-qualified", "@a-_b@Sub.Example.xn--p1ai"),
        ("localhost", "al@localhost:8080"),
        ("port", "al@kez.lat:443"),
        ("zero-port", "al@localhost:0"),
        ("address", "al@10.0.0.1"),
        ("hex-address", "al@0x7f.0x1"),
        ("home", "kez.lat"),
        ("hyphens", "al@-a.b-.c"),
        ("two-ats", "a@b@c"),
        ("look-alike", "аdmin@kez.lat"),
    ]
    .map(|(name, text)| (name, text.into()))
    .into()
}
