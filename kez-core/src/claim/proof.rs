//! Proof texts, the lines `kez1:<claim>:<key>:<signature>`, and finding them in what was fetched.

use super::{Claim, ClaimError, ClaimText, ProofPlace, Subject};
use crate::identity::{PrimaryKey, SecretKey, Signature, Statement};

const PREFIX: &str = "kez1:";
const KEY_CHARS: usize = 64;

impl Claim {
    /// Writes the proof text of a claim: one line, without its end. It needs no `at`, for a gist has no id before it
    /// is written.
    ///
    /// # Errors
    /// [`ClaimError::BadClaim`] if the claim does not have the form of its scheme, [`ClaimError::OtherProof`] if no
    /// text proves claims of its scheme.
    pub fn prove(claim: &ClaimText, key: &SecretKey) -> Result<String, ClaimError> {
        match Subject::of(claim)? {
            Subject::Dns(_) | Subject::Https(_) | Subject::Github(_) => {}
            Subject::Nostr(_) | Subject::Unknown => return Err(other_proof(claim, "a proof text")),
        }
        let primary = key.primary();
        let sig = key.sign(&Statement::Claim { claim, primary: &primary }).to_base64();
        Ok(join(claim, &primary.to_hex(), &sig))
    }

    /// Checks one line, without its end, as the proof that the holder of `primary` makes this claim. Whether the line stood
    /// at the claim's own place is for the caller to know; for a gist that means its owner, see [`Claim::verify_gist`].
    ///
    /// # Errors
    /// [`ClaimError`], the first failed check of §10's order.
    pub fn verify_line(&self, primary: &PrimaryKey, line: &str) -> Result<(), ClaimError> {
        match self.place {
            ProofPlace::Txt { .. } | ProofPlace::File { .. } | ProofPlace::Gist { .. } => {}
            ProofPlace::Op { .. } | ProofPlace::Unknown => return Err(other_proof(&self.text, "a proof text")),
        }
        let (claim, key, sig) = split(line).ok_or(ClaimError::NoProofText)?;
        if claim != self.text || key != primary.to_hex() {
            return Err(ClaimError::WrongSubject { claim: self.text.to_string() });
        }
        let signature = Signature::from_base64(sig)?;
        Ok(primary.verify(&Statement::Claim { claim: &self.text, primary }, &signature)?)
    }

    /// Looks for the proof among the TXT records at [`ProofPlace::Txt`]. Each record is given as its strings, which
    /// are joined; each is one line, however long.
    ///
    /// # Errors
    /// As [`Claim::verify_file`].
    pub fn verify_txt<R>(&self, primary: &PrimaryKey, records: impl IntoIterator<Item = R>) -> Result<(), ClaimError>
    where
        R: IntoIterator<Item: AsRef<[u8]>>,
    {
        let ProofPlace::Txt { .. } = self.place else { return Err(other_proof(&self.text, "a TXT record")) };
        let joined = |record: R| {
            record.into_iter().fold(Vec::new(), |mut line, string| {
                line.extend_from_slice(string.as_ref());
                line
            })
        };
        self.find(primary, records.into_iter().map(joined))
    }

    /// Looks for the proof among the lines of the file at [`ProofPlace::File`]. Lines end in LF or CRLF and nothing
    /// is trimmed. The caller limits the file's size.
    ///
    /// # Errors
    /// A file may hold proofs of other claims and people beside this one, so one line that proves is enough. If none
    /// does, the error is that of the line that got furthest through §10's checks: a [`ClaimError::BadSignature`] for
    /// this very claim and key says more than that other lines are for others.
    pub fn verify_file(&self, primary: &PrimaryKey, file: &[u8]) -> Result<(), ClaimError> {
        let ProofPlace::File { .. } = self.place else { return Err(other_proof(&self.text, "a file")) };
        self.find(primary, lines(file))
    }

    /// Looks for the proof among the lines of the files of the gist at [`ProofPlace::Gist`]. `owner` is the
    /// `owner.login` that GitHub's API names for the gist: the URL alone does not say whose it is.
    ///
    /// # Errors
    /// [`ClaimError::WrongOwner`] if the gist is not the claimed user's (letter case aside); otherwise as
    /// [`Claim::verify_file`].
    pub fn verify_gist<F: AsRef<[u8]>>(
        &self,
        primary: &PrimaryKey,
        owner: &str,
        files: impl IntoIterator<Item = F>,
    ) -> Result<(), ClaimError> {
        let ProofPlace::Gist { user, .. } = &self.place else { return Err(other_proof(&self.text, "a gist")) };
        if !user.eq_ignore_ascii_case(owner) {
            return Err(ClaimError::WrongOwner { user: user.clone(), owner: owner.to_owned() });
        }
        furthest(files.into_iter().map(|file| self.find(primary, lines(file.as_ref()))))
    }

    /// Checks the `sig` of an `add_claim` op as the proof of a `nostr:` claim: BIP-340 over SHA-256 of the statement.
    ///
    /// # Errors
    /// [`ClaimError::BadSignature`] if the claimed nostr key did not sign that the holder of `primary` holds it too,
    /// [`ClaimError::OtherProof`] for a claim of another scheme.
    pub fn verify_nostr(&self, primary: &PrimaryKey, sig: &Signature) -> Result<(), ClaimError> {
        let ProofPlace::Op { key } = &self.place else {
            return Err(other_proof(&self.text, "a nostr key's signature"));
        };
        Ok(key.verify(&self.text, primary, sig)?)
    }

    fn find<L: AsRef<[u8]>>(&self, primary: &PrimaryKey, lines: impl Iterator<Item = L>) -> Result<(), ClaimError> {
        furthest(lines.map(|line| {
            let line = std::str::from_utf8(line.as_ref()).map_err(|_| ClaimError::NoProofText)?;
            self.verify_line(primary, line)
        }))
    }
}

fn join(claim: &ClaimText, key: &str, sig: &str) -> String {
    format!("{PREFIX}{claim}:{key}:{sig}")
}

/// Splits a proof text from the right, since a claim may hold colons, into claim, key and signature. The signature is
/// still unread: a proof for somebody else is told from a malformed one of this person.
fn split(line: &str) -> Option<(ClaimText, &str, &str)> {
    let (rest, sig) = line.strip_prefix(PREFIX)?.rsplit_once(':')?;
    let (claim, key) = rest.rsplit_once(':')?;
    let hex = key.len() == KEY_CHARS && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hex { Some((claim.parse().ok()?, key, sig)) } else { None }
}

/// Splits a text after each LF; the last line may lack its end. A CR belongs to an end only right before an LF.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(line))
}

/// Returns the first success, or else the error behind most checks.
fn furthest(verdicts: impl Iterator<Item = Result<(), ClaimError>>) -> Result<(), ClaimError> {
    let mut nearest = ClaimError::NoProofText;
    for verdict in verdicts {
        match verdict {
            Ok(()) => return Ok(()),
            Err(error) if error.depth() > nearest.depth() => nearest = error,
            Err(_) => {}
        }
    }
    Err(nearest)
}

fn other_proof(claim: &ClaimText, way: &'static str) -> ClaimError {
    ClaimError::OtherProof { claim: claim.to_string(), way }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        claim::NostrSecretKey,
        error::Code,
        identity::{SignatureError, Statement},
    };

    const NPUB_CLAIM: &str = "nostr:npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";

    fn alice() -> SecretKey {
        SecretKey::from_seed([1; 32])
    }

    fn bob() -> SecretKey {
        SecretKey::from_seed([2; 32])
    }

    fn text(claim: &str) -> ClaimText {
        claim.parse().unwrap()
    }

    fn claim(claim: &str) -> Claim {
        Claim::parse(&text(claim), None).unwrap()
    }

    fn proof(claim: &str, key: &SecretKey) -> String {
        Claim::prove(&text(claim), key).unwrap()
    }

    /// What checking a line as Alice's proof for `dns:alice.example` says.
    fn verdict(line: &str) -> Result<(), Code> {
        claim("dns:alice.example").verify_line(&alice().primary(), line).map_err(|error| error.code())
    }

    #[test]
    fn the_proof_is_the_one_of_the_specification() {
        let line = "kez1:dns:alice.example:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c:\
                    mHwuMow0Plelt66nkn0wuwVr0HzBaOwhDajK04a-qtImZdj8ZP4jUksDc56jEAl5CnqrhsGYJHYPah6G7GZwCg";
        assert_eq!(proof("dns:alice.example", &alice()), line);
        assert_eq!(verdict(line), Ok(()));
    }

    #[test]
    fn each_fault_of_a_line_has_its_name_and_the_first_one_counts() {
        let good = proof("dns:alice.example", &alice());
        let (head, sig) = good.rsplit_once(':').unwrap();
        let key = alice().primary().to_hex();
        let bob_key = bob().primary().to_hex();
        for bad in [
            "",
            "kez1:",
            "kez1::",
            "kez1:::",
            &good.replace("kez1", "kez2"),
            &good.replace("kez1", "KEZ1"),
            &format!(" {good}"),
            &format!("\u{feff}{good}"),
            &good.replace(&key, &key.to_uppercase()),
            &good.replace(&key, &key[1..]),
            &good.replace(&key, &format!("{key}0")),
            &good.replace(&key, &format!("ed25519:{}", &key[8..])),
            &good.replace("dns:", ""),
            &good.replace("alice.example", ""),
            &good.replace("alice", "al ice"),
            &format!("kez1:{key}:{sig}"),
            &format!("{good}:"),
            &format!("{head}::{sig}"),
        ] {
            assert_eq!(verdict(bad), Err(Code::BadClaim), "{bad:?}");
        }
        for other in [
            &proof("dns:bob.example", &alice()),
            &proof("https:alice.example", &alice()),
            &proof("dns:alice.example", &bob()),
            &good.replace("dns:alice", "later:alice"),
            &good.replace("dns:alice", "DNS:alice").replace("DNS", "dns2"),
            &format!("kez1:dns:alice.example:x:{key}:{sig}"),
            &format!("kez1:dns:alice.example:{bob_key}:%%"),
            &format!("kez1:dns:alice.example:{}:{sig}", "00".repeat(32)),
        ] {
            assert_eq!(verdict(other), Err(Code::WrongSubject), "{other:?}");
        }
        let padded = format!("{good}==");
        let last = sig.chars().last().unwrap();
        let respelt = format!("{head}:{}{}", &sig[..85], char::from(last as u8 + 1));
        for bad in [
            &padded,
            &respelt,
            &format!("{good} "),
            &format!("{good}\r"),
            &good.replace('-', "+"),
            &good[..good.len() - 1],
        ] {
            assert_eq!(verdict(bad), Err(Code::BadBase64), "{bad:?}");
        }
        let bobs = proof("dns:alice.example", &bob());
        for bad in [
            &format!("{head}:"),
            &format!("{head}:{}", &sig[..84]),
            &format!("{good}AA"),
            &format!("{head}:{}", "A".repeat(86)),
            &format!("{head}:{}", bobs.rsplit_once(':').unwrap().1),
            &format!("{head}:{}", proof("dns:bob.example", &alice()).rsplit_once(':').unwrap().1),
        ] {
            assert_eq!(verdict(bad), Err(Code::BadSignature), "{bad:?}");
        }
    }

    #[test]
    fn any_flipped_bit_of_a_signature_fails() {
        let good = proof("dns:alice.example", &alice());
        let (head, sig) = good.rsplit_once(':').unwrap();
        let sig = Signature::from_base64(sig).unwrap().to_bytes();
        for bit in 0..512 {
            let mut bad = sig;
            bad[bit / 8] ^= 1 << (bit % 8);
            let line = format!("{head}:{}", Signature::from_bytes(bad).to_base64());
            assert_eq!(verdict(&line), Err(Code::BadSignature), "bit {bit}");
        }
    }

    #[test]
    fn a_line_of_the_file_is_enough() {
        let https = claim("https:alice.example");
        let good = proof("https:alice.example", &alice());
        let found = |file: &[u8]| https.verify_file(&alice().primary(), file).map_err(|error| error.code());
        let others = [proof("https:alice.example", &bob()), proof("https:bob.example", &alice())].join("\n");
        for file in [
            good.clone(),
            format!("{good}\n"),
            format!("{good}\r\n"),
            format!("# mine\r\n\r\n{good}\r\n"),
            format!("{others}\n{good}\n{others}"),
            format!("{}\n{good}", good.replace("kez1:https", "kez1:dns")),
            format!("{}A\n{good}", &good[..good.len() - 1]),
        ] {
            assert_eq!(found(file.as_bytes()), Ok(()), "{file:?}");
        }
        assert_eq!(found(&[b"\xff\xfe\n", good.as_bytes()].concat()), Ok(()), "the other lines need not be UTF-8");
        for (file, code) in [
            (String::new(), Code::BadClaim),
            ("nothing\nhere".into(), Code::BadClaim),
            (format!("{good}x{good}"), Code::WrongSubject),
            (format!(" {good}\n\t{good}\n> {good}"), Code::BadClaim),
            (good.replace(':', ":\n"), Code::BadClaim),
            (format!("{good}\r\r\n"), Code::BadBase64),
            (format!("{good}\r"), Code::BadBase64),
            (format!("{good} \n"), Code::BadBase64),
            // The line that got furthest names the error, wherever it stands.
            (format!("nothing\n{others}\nkez1:"), Code::WrongSubject),
            (format!("{others}\n{good}=\n{others}"), Code::BadBase64),
            (format!("{good}AA\n{good}=\n{others}"), Code::BadSignature),
            (format!("{others}\n{good}=\n{good}AA"), Code::BadSignature),
        ] {
            assert_eq!(found(file.as_bytes()), Err(code), "{file:?}");
        }
        let other_place = claim("dns:alice.example").verify_file(&alice().primary(), good.as_bytes());
        assert!(matches!(other_place, Err(ClaimError::OtherProof { .. })));
    }

    #[test]
    fn the_strings_of_a_txt_record_are_joined() {
        let dns = claim("dns:alice.example");
        let good = proof("dns:alice.example", &alice());
        let found = |records: &[Vec<&str>]| dns.verify_txt(&alice().primary(), records).map_err(|error| error.code());
        let (left, right) = good.split_at(60);
        assert_eq!(found(&[vec![&good]]), Ok(()));
        assert_eq!(found(&[vec!["v=spf1 -all"], vec![left, "", right]]), Ok(()));
        assert_eq!(found(&[]), Err(Code::BadClaim));
        assert_eq!(found(&[vec![left], vec![right]]), Err(Code::BadClaim), "two records are not one");
        assert_eq!(found(&[vec![right, left]]), Err(Code::BadClaim));
        assert_eq!(found(&[vec![left, right, " "]]), Err(Code::BadBase64));
        assert_eq!(found(&[vec![&good, "\n"]]), Err(Code::BadBase64), "a record is one line");
        assert_eq!(found(&[vec!["x\n", &good]]), Err(Code::BadClaim), "a record is one line");
        assert_eq!(found(&[vec![&proof("dns:alice.example", &bob())]]), Err(Code::WrongSubject));
        let other_place = claim("https:alice.example").verify_txt(&alice().primary(), [[&good]]);
        assert!(matches!(other_place, Err(ClaimError::OtherProof { .. })));
    }

    #[test]
    fn a_gist_counts_for_its_owner_only() {
        let at = Some("https://gist.github.com/alice/00ff");
        let github = Claim::parse(&text("github:alice"), at).unwrap();
        let good = proof("github:alice", &alice());
        let found = |owner: &str, files: &[&str]| {
            github.verify_gist(&alice().primary(), owner, files).map_err(|error| error.code())
        };
        for owner in ["alice", "Alice", "ALICE"] {
            assert_eq!(found(owner, &["readme", &format!("x\r\n{good}\r\n")]), Ok(()));
        }
        for owner in ["", "alice2", "bob", " alice", "аlice"] {
            assert_eq!(found(owner, &[&good]), Err(Code::WrongSubject), "{owner}");
        }
        assert_eq!(found("alice", &[]), Err(Code::BadClaim));
        assert_eq!(found("alice", &[&good.replace("alice", "bob"), "x"]), Err(Code::WrongSubject));
        let (left, right) = good.split_at(60);
        assert_eq!(found("alice", &[left, right]), Err(Code::BadClaim), "two files are not one");
        let other_place = claim("https:alice.example").verify_gist(&alice().primary(), "alice", [&good]);
        assert!(matches!(other_place, Err(ClaimError::OtherProof { .. })));
    }

    #[test]
    fn nostr_and_unknown_schemes_have_no_proof_text() {
        let primary = alice().primary();
        for other in [NPUB_CLAIM, "mastodon:@alice@example"] {
            let other = text(other);
            assert!(matches!(Claim::prove(&other, &alice()), Err(ClaimError::OtherProof { .. })));
            // Signed all the same, by someone who does not use this function.
            let sig = alice().sign(&Statement::Claim { claim: &other, primary: &primary });
            let line = join(&other, &primary.to_hex(), &sig.to_base64());
            let refused = Claim::parse(&other, None).unwrap().verify_line(&primary, &line).unwrap_err();
            assert_eq!(refused.code(), Code::BadClaim);
        }
        assert_eq!(Claim::prove(&text("dns:Alice.example"), &alice()).unwrap_err().code(), Code::BadClaim);
    }

    #[test]
    fn a_nostr_claim_is_proved_by_its_nostr_key_alone() {
        let primary = alice().primary();
        let nostr = claim(NPUB_CLAIM);
        let ed25519 = alice().sign(&Statement::Claim { claim: nostr.text(), primary: &primary });
        let refused = Err(ClaimError::BadSignature(SignatureError::BadSignature));
        assert_eq!(nostr.verify_nostr(&primary, &ed25519), refused, "the primary's own word proves nothing");

        let secret = NostrSecretKey::from_bytes(&[3; 32]).unwrap();
        let own = claim(&format!("nostr:{}", secret.public().to_npub()));
        let sig = secret.prove(own.text(), &primary, &mut StdRng::seed_from_u64(1)).unwrap();
        assert_eq!(own.verify_nostr(&primary, &sig), Ok(()));
        assert_eq!(own.verify_nostr(&bob().primary(), &sig), refused);
        assert_eq!(nostr.verify_nostr(&primary, &sig), refused);
        let other = claim("dns:alice.example").verify_nostr(&primary, &sig).unwrap_err();
        assert_eq!(other.code(), Code::BadClaim);
    }

    proptest! {
        #[test]
        fn a_line_reads_back(claim in "[a-z][a-z0-9]{0,8}:[!-~]{1,255}", key in "[0-9a-f]{64}", sig in "[A-Za-z0-9_-]{0,90}") {
            let claim = text(&claim);
            let line = join(&claim, &key, &sig);
            prop_assert_eq!(split(&line), Some((claim, &*key, &*sig)));
        }

        #[test]
        fn any_line_is_read_or_refused(line in "(kez1:)?(dns:a:)?([0-9a-f]{64}:)?\\PC{0,40}") {
            if let Some((claim, key, sig)) = split(&line) {
                prop_assert_eq!(join(&claim, key, sig), line.clone());
            }
            prop_assert!(verdict(&line).is_err());
        }

        #[test]
        fn lines_are_what_lies_between_their_ends(parts in proptest::collection::vec("[a-z \r]{0,5}", 1..6), crlf: bool) {
            let end = if crlf { "\r\n" } else { "\n" };
            // A part's own CR before an LF would be part of that end.
            let parts: Vec<String> = parts.iter().map(|part| format!("{part}.")).collect();
            let file = parts.join(end);
            let read: Vec<&[u8]> = lines(file.as_bytes()).collect();
            prop_assert_eq!(read, parts.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
    }
}
