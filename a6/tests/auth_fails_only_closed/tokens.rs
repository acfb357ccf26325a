//! Tokens, signed elsewhere.

/// The key that the tokens name.
pub(crate) const KEY: &str = "j-jack";
/// What [`TOKEN`] is signed with (HS256).
pub(crate) const SECRET: &str = "jwt-secret-of-jack";
pub(crate) const TOKEN: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2sifQ.TUkzJpnmPl-p2dw-s5DmSkyfMhIX_rFj6_njVT8ti8M";

/// What [`SECOND_TOKEN`] is signed with (HS256).
pub(crate) const SECOND_SECRET: &str = "second-secret-of-jack";
pub(crate) const SECOND_TOKEN: &str =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2sifQ.uFA8HsycGEMJ2dfbOHF1F1Nwoy4yNHrEjwtzNC0KqGA";

pub(crate) const MALFORMED: &str = "JWT token invalid";
pub(crate) const NO_KEY: &str = "missing user key in JWT token";
pub(crate) const UNKNOWN_KEY: &str = "Invalid user key in JWT token";
pub(crate) const UNVERIFIED: &str = "failed to verify jwt";

/// Tokens that are nearly right; signed with [`SECRET`] unless the name says something else. The last is the reason of
/// the refusal.
#[rustfmt::skip]
pub(crate) const WRONG: [(&str, &str, &str); 25] = [
    ("another secret", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2sifQ.DIbvXY-OVYVBHDEDf45dJvtcAnUo-Ezvf2tUafCXOUM", UNVERIFIED),
    ("an empty secret", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2sifQ.LlMAHrQHXMZKev6iztV1zFhvz7oN95573XJDdh6IZ00", UNVERIFIED),
    ("no algorithm, no signature", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJrZXkiOiJqLWphY2sifQ.", MALFORMED),
    ("no algorithm, a signature", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJrZXkiOiJqLWphY2sifQ.RlUtc_vbhauZZq8tkMloMr-ZKP7YZWQMNxcpaql0_f4", UNVERIFIED),
    ("None", "eyJhbGciOiJOb25lIn0.eyJrZXkiOiJqLWphY2sifQ.DvMZ7VvvevNhoofNb9cwWOTUTRCanqSSrdCInkMKXoc", UNVERIFIED),
    ("no word of the algorithm", "eyJ0eXAiOiJKV1QifQ.eyJrZXkiOiJqLWphY2sifQ.SqryBxQ06ozuDUNkofPZdyvU2YrdZ_SvsLbTOGk_fDI", UNVERIFIED),
    ("an algorithm of a wrong type", "eyJhbGciOlsiSFMyNTYiXX0.eyJrZXkiOiJqLWphY2sifQ.u1-43VlR8LO4OYluc3jYMJQA86esL92WlBYezAoVq2Y", UNVERIFIED),
    ("HS384", "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2sifQ.agSFGfRqeouyZGuMW7Ccg4o8xJ1l7KJETxH8fQNzFZxzSxiqZoDItuycEXTn0EPq", UNVERIFIED),
    ("HS512", "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2sifQ.KGTSi_GYbj0axkzXp8dzS16c5KYn6xeQcxU0PQzLXFWXY13l9QP8Cst6AbDBDE33mDRytCLIVsDQ6J4sWKmKQQ", UNVERIFIED),
    ("HS512 that is called HS256", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2sifQ.1ZhWZTvQNbCfnKo4zNGxSMCduxCY8k98Hpgq8fKJ_Tdupp8MPardjWco1KYo1rZ67jAM0lfRMQImF0jsh3Hjvg", UNVERIFIED),
    ("HS256 that is called RS256", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2sifQ.aTIVZWogzXAnNXxVjFi3BtjsSKvV8DdtoOuHbjdyAVY", UNVERIFIED),
    ("expired", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2siLCJleHAiOjE1MDAwMDAwMDB9.7TW3GQNdh1Bzaj-Dee6491qnPBQKKvxcNQupKXaViD0", UNVERIFIED),
    ("exp null", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2siLCJleHAiOm51bGx9.9Rg3P4790KvfVaUMnPO1v3XmS6ksP7s-Av9jA4D-Y80", UNVERIFIED),
    ("exp as text", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2siLCJleHAiOiI0MDAwMDAwMDAwIn0.dXbQV98tGTQP-8EeJl99Bhr1RWeWG8Lz-bZ3JWK1Kw0", UNVERIFIED),
    ("not yet valid", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLWphY2siLCJuYmYiOjQwMDAwMDAwMDB9.Z8JoetFVPzrQTj7yHCH_HMUa_uCWlybdi928C0yXrK0", UNVERIFIED),
    ("nobody's key", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqLW5vYm9keSJ9.PSlo01KypD07svGmm2RFhDhKHzxpnDgX_T762nwA_AE", UNKNOWN_KEY),
    ("an empty key", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiIifQ.57a59hNqRgHtpYYs-e7SJIrCkd7MZ8WiJDvsPU6Z0Po", UNKNOWN_KEY),
    ("a list of keys", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOlsiai1qYWNrIl19.0nlPmPfxTqFBGf0vEfsIq4nhyxZG0LvbfMF5ykVPiZ8", UNKNOWN_KEY),
    ("a number as key", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOjB9.avpGVAXYJbwLA7-Dot4A7L3MjEwc0GsfBxlSxL0-qow", UNKNOWN_KEY),
    ("a key that is null", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOm51bGx9.BvrW1FaS7Ms6HlWbMMmeVks9ojX2oLhaJeNPa1HuJP0", NO_KEY),
    ("no key", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJqLWphY2sifQ.BB7icJD7MDnUELzMGxA-Z5CkcAKzde_QINp_biCX1Qc", NO_KEY),
    ("a payload that is a number", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.NQ.boR3vf3ODoxV7Um6zX52qYeN4S2-ePiNxj1r3OXlopw", NO_KEY),
    ("a payload that is text", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.ImotamFjayI.8NEPgOCbtVqbuJpmLUnR4WhRWY1S0f31xDqpWOPFLEc", NO_KEY),
    ("a payload that is null", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.bnVsbA.eUAnDWP_BpzVEQooFYLSSDzTvc8q5g3jU_hcEsPTRxM", NO_KEY),
    ("a header that is a list", "W3siYWxnIjoiSFMyNTYiLCJ0eXAiOiJKV1QifV0.eyJrZXkiOiJqLWphY2sifQ.cXLlVm0Mt7-z4_1N4ZSY2exfcNsdU76XdJKiLR0mT5Q", MALFORMED),
];

/// Tokens that name the key `gen-jwt` and are signed with what a wrong secret may be taken for: nothing, `null`, `true`, `0`,
/// `[]`, `{}`, the text of a reference; the last not at all.
#[rustfmt::skip]
pub(crate) const SIGNED_WITH_NOTHING: [&str; 8] = [
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJnZW4tand0In0.dAXVL3ZRjQ_HCY0PrbO2JLzdSu9g--qNCpQEsY0RjPI",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJnZW4tand0In0.bSm41Xiv0sUaKIkqbrsVbSh71nhT2FzPK7sS5LTpzUg",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJnZW4tand0In0.81g6Pb1fOfjiZo1I9RNBiR7R_FhudbztTepqRLUrKYE",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJnZW4tand0In0.BOnu749H61p1wHzCwEG2tVkJ_txfHxILt_e_UOqk4kc",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJnZW4tand0In0.VOfTxFi1OrOchaa1nkR6s7EJlzvUPkL0Q5w5Fz6TSpI",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJnZW4tand0In0.kNzN6jJXQVia803K5uSOsBiFs_4OCizxTJGLBb2yoqY",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJnZW4tand0In0.0AV4jBuGB4EQQhjzWHuJwqiDFvlbs7m0GilyNUNK14I",
    "eyJhbGciOiJub25lIn0.eyJrZXkiOiJnZW4tand0In0.2lywkcVrEy-DaB_ZCoT8qTr2nL3gPO5323E7WSRxOmc",
];
