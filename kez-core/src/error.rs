//! The stable error codes (`docs/PROTOCOL.md` §13).

use std::fmt;

macro_rules! codes {
    ($($name:ident),+ $(,)?) => {
        /// Names what was wrong, in a word that vectors, HTTP problem bodies, exit codes and bindings share.
        ///
        /// The message of the error that carries a code says where.
        #[allow(missing_docs)] // Each name is documented once, in PROTOCOL.md §13.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($name),+ }

        impl Code {
            /// Lists every code.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the code as it is written in vectors and problem bodies.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

codes! {
    BadKey, BadKeyText, BadMnemonic, BadHandle, ReservedHandle, BadUri, BadSignature, ZeroSecret,
    BadJws, BadJwsHeader, BadBase64, BadJson, NotCanonicalJson, BadEvent, UnknownMember, UnknownOp,
    WrongPrimary, WrongPrev, Gap, Fork, Rollback, Retired, TooLong,
    BadVersion, UnknownSuite, UnknownKeyId, BadLength, BadHeader, BadBody, BadPadding, BadPayload,
    BadVarint, TrailingBytes, WrongChannel, Unsupported, TooLarge, Misaddressed,
    BadSegment, Truncated, BadPath, BadManifest, NotAReader, DuplicateId, BadHash,
    BadClaim, WrongSubject, BadNonce, BadFrame, BadJwt,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
