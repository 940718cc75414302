//! A claim, and what stands where its proof should be (`docs/PROTOCOL.md` §10).
//!
//! The first line is the claim, the second its `at` (none if it is empty), the rest is the file, the TXT records or the
//! op's `sig`. `$PROOF` stands for Alice's proof, `$SIG` for the signature in it, `$KEY` for her key in hex, `$NPUB` for a
//! nostr key and `$NOSTR` for its signature.

use kez_core::{
    claim::{Claim, ClaimText, NostrSecretKey, ProofPlace},
    identity::{Signature, Statement},
};

use rand::{SeedableRng as _, rngs::StdRng};

use super::input::{Seed, alice, carol, fill_in};

pub fn run(data: &[u8]) {
    let Ok(template) = std::str::from_utf8(data) else { return };
    let nostr = NostrSecretKey::from_bytes(&[7; 32]).unwrap();
    let npub = nostr.public().to_npub();
    let mut lines = template.splitn(3, '\n');
    let claim = fill_in(lines.next().unwrap_or_default(), &[("$NPUB", &npub)]);
    let Ok(text) = claim.parse::<ClaimText>() else { return };
    assert_eq!(text.to_string(), claim);
    let at = lines.next().filter(|at| !at.is_empty());
    let Ok(parsed) = Claim::parse(&text, at) else { return };
    assert_eq!(parsed.text(), &text);

    let (scheme, subject) = claim.split_once(':').unwrap();
    match parsed.place() {
        ProofPlace::Txt { name } => assert_eq!((scheme, name.strip_prefix("_kez.")), ("dns", Some(subject))),
        ProofPlace::File { url } => {
            assert_eq!((scheme, url), ("https", &format!("https://{subject}/.well-known/kez.txt")));
        }
        ProofPlace::Gist { user, id } => {
            assert_eq!((scheme, &**user), ("github", subject));
            assert_eq!(at, Some(&*format!("https://gist.github.com/{user}/{id}")));
        }
        ProofPlace::Op { key } => assert_eq!((scheme, &*key.to_npub()), ("nostr", subject)),
        _ => assert!(!["dns", "https", "github", "nostr"].contains(&scheme)),
    }

    let primary = alice().primary();
    let proof = Claim::prove(&text, &alice());
    let by_text = matches!(parsed.place(), ProofPlace::Txt { .. } | ProofPlace::File { .. } | ProofPlace::Gist { .. });
    assert_eq!(proof.is_ok(), by_text);
    let proof = proof.unwrap_or_default();
    let signature = alice().sign(&Statement::Claim { claim: &text, primary: &primary }).to_base64();
    let by_nostr =
        nostr.prove(&text, &primary, &mut StdRng::from_seed([9; 32])).map(Signature::to_base64).unwrap_or_default();
    let names = [
        ("$PROOF", &*proof),
        ("$SIG", &*signature),
        ("$KEY", &*primary.to_hex()),
        ("$NOSTR", &*by_nostr),
        ("$NPUB", &npub),
    ];
    let found = fill_in(lines.next().unwrap_or_default(), &names);

    // Only Alice's own line proves anything, only where it belongs, and only for her.
    let in_file = by_text && found.replace("\r\n", "\n").split('\n').any(|line| line == proof);
    let file = found.as_bytes();
    for (reader, proven) in [(primary, in_file), (carol().primary(), false)] {
        let is_txt = matches!(parsed.place(), ProofPlace::Txt { .. });
        assert_eq!(parsed.verify_line(&reader, &found).is_ok(), proven && found == proof);
        let records = found.split('\n').map(|record| record.split('\t'));
        let in_records = by_text && found.split('\n').any(|record| record.replace('\t', "") == proof);
        assert_eq!(parsed.verify_txt(&reader, records).is_ok(), is_txt && in_records && reader == primary);
        assert_eq!(
            parsed.verify_file(&reader, file).is_ok(),
            proven && matches!(parsed.place(), ProofPlace::File { .. })
        );
        let is_gist = matches!(parsed.place(), ProofPlace::Gist { .. });
        assert_eq!(parsed.verify_gist(&reader, &subject.to_ascii_uppercase(), [file]).is_ok(), proven && is_gist);
        assert!(parsed.verify_gist(&reader, &format!("{subject}2"), [file]).is_err());
        if let Ok(signature) = Signature::from_base64(&found) {
            let is_op = matches!(parsed.place(), ProofPlace::Op { .. });
            let nostr_proves = is_op && found == by_nostr && reader == primary;
            assert_eq!(parsed.verify_nostr(&reader, &signature).is_ok(), nostr_proves);
        }
    }
}

pub fn seeds() -> Vec<Seed> {
    [
        ("dns", "dns:alice.example\n\n$PROOF"),
        ("dns-in-strings", "dns:alice.example\n\nv=spf1 -all\nkez1:dns:alice.example:\t$KEY:\t$SIG"),
        ("https", "https:alice.example\n\n# mine\r\n$PROOF\r\n"),
        ("https-others", "https:alice.example\n\nkez1:https:bob.example:$KEY:$SIG\n$PROOF"),
        ("gist", "github:al-1ce\nhttps://gist.github.com/al-1ce/00ff\n$PROOF\n"),
        ("gist-of-another", "github:alice\nhttps://gist.github.com/bob/00ff\n$PROOF"),
        ("nostr", "nostr:$NPUB\n\n$NOSTR"),
        ("nostr-text", "nostr:$NPUB\n\nkez1:nostr:$NPUB:$KEY:$SIG"),
        ("later-scheme", "mastodon:@al@kez.lat\n\nkez1:mastodon:@al@kez.lat:$KEY:$SIG"),
        ("blank", "https:alice.example\n\n $PROOF\n$PROOF \n$PROOF\r\r\n"),
        ("no-domain", "dns:10.0.0.1\n\n$PROOF"),
    ]
    .map(|(name, text)| (name, text.into()))
    .into()
}
