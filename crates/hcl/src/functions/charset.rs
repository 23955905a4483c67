//! Character encodings by their IANA names. `encoding_rs` knows the encodings of the web by the web's labels, which are not IANA's
//! (there `latin1` is windows-1252); what the web lacks is done here.

use encoding_rs::Encoding;

/// A character encoding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charset {
    name: &'static str,
    scheme: Scheme,
}

#[derive(Debug, Clone, Copy)]
enum Scheme {
    /// Only the first 128 characters.
    Ascii,
    /// The first 256 characters as they are, but for some exceptions: (byte, character).
    Latin(&'static [(u8, char)]),
    Utf8,
    Utf16 {
        little: bool,
        mark: bool,
    },
    Web(&'static Encoding),
}

/// Names and aliases of the IANA registry, the preferred name first.
static CHARSETS: &[(&[&str], Scheme)] = &[
    (
        &[
            "US-ASCII",
            "iso-ir-6",
            "ANSI_X3.4-1968",
            "ANSI_X3.4-1986",
            "ISO_646.irv:1991",
            "ISO646-US",
            "us",
            "IBM367",
            "cp367",
            "csASCII",
        ],
        Scheme::Ascii,
    ),
    (
        &[
            "ISO-8859-1",
            "ISO_8859-1:1987",
            "iso-ir-100",
            "ISO_8859-1",
            "latin1",
            "l1",
            "IBM819",
            "CP819",
            "csISOLatin1",
        ],
        Scheme::Latin(&[]),
    ),
    (
        &[
            "ISO-8859-2",
            "ISO_8859-2:1987",
            "iso-ir-101",
            "ISO_8859-2",
            "latin2",
            "l2",
            "csISOLatin2",
        ],
        Scheme::Web(encoding_rs::ISO_8859_2),
    ),
    (
        &[
            "ISO-8859-3",
            "ISO_8859-3:1988",
            "iso-ir-109",
            "ISO_8859-3",
            "latin3",
            "l3",
            "csISOLatin3",
        ],
        Scheme::Web(encoding_rs::ISO_8859_3),
    ),
    (
        &[
            "ISO-8859-4",
            "ISO_8859-4:1988",
            "iso-ir-110",
            "ISO_8859-4",
            "latin4",
            "l4",
            "csISOLatin4",
        ],
        Scheme::Web(encoding_rs::ISO_8859_4),
    ),
    (
        &[
            "ISO-8859-5",
            "ISO_8859-5:1988",
            "iso-ir-144",
            "ISO_8859-5",
            "cyrillic",
            "csISOLatinCyrillic",
        ],
        Scheme::Web(encoding_rs::ISO_8859_5),
    ),
    (
        &[
            "ISO-8859-6",
            "ISO_8859-6:1987",
            "iso-ir-127",
            "ISO_8859-6",
            "ECMA-114",
            "ASMO-708",
            "arabic",
            "csISOLatinArabic",
            "ISO-8859-6-E",
            "ISO_8859-6-E",
            "csISO88596E",
            "ISO-8859-6-I",
            "ISO_8859-6-I",
            "csISO88596I",
        ],
        Scheme::Web(encoding_rs::ISO_8859_6),
    ),
    (
        &[
            "ISO-8859-7",
            "ISO_8859-7:1987",
            "iso-ir-126",
            "ISO_8859-7",
            "ELOT_928",
            "ECMA-118",
            "greek",
            "greek8",
            "csISOLatinGreek",
        ],
        Scheme::Web(encoding_rs::ISO_8859_7),
    ),
    (
        &[
            "ISO-8859-8",
            "ISO_8859-8:1988",
            "iso-ir-138",
            "ISO_8859-8",
            "hebrew",
            "csISOLatinHebrew",
            "ISO-8859-8-E",
            "ISO_8859-8-E",
            "csISO88598E",
        ],
        Scheme::Web(encoding_rs::ISO_8859_8),
    ),
    (
        &["ISO-8859-8-I", "ISO_8859-8-I", "csISO88598I"],
        Scheme::Web(encoding_rs::ISO_8859_8_I),
    ),
    (
        &[
            "ISO-8859-9",
            "ISO_8859-9:1989",
            "iso-ir-148",
            "ISO_8859-9",
            "latin5",
            "l5",
            "csISOLatin5",
        ],
        Scheme::Latin(&[
            (0xd0, 'Ğ'),
            (0xdd, 'İ'),
            (0xde, 'Ş'),
            (0xf0, 'ğ'),
            (0xfd, 'ı'),
            (0xfe, 'ş'),
        ]),
    ),
    (
        &[
            "ISO-8859-10",
            "iso-ir-157",
            "l6",
            "ISO_8859-10:1992",
            "csISOLatin6",
            "latin6",
        ],
        Scheme::Web(encoding_rs::ISO_8859_10),
    ),
    (&["ISO-8859-13", "csISO885913"], Scheme::Web(encoding_rs::ISO_8859_13)),
    (
        &[
            "ISO-8859-14",
            "iso-ir-199",
            "ISO_8859-14:1998",
            "ISO_8859-14",
            "latin8",
            "iso-celtic",
            "l8",
            "csISO885914",
        ],
        Scheme::Web(encoding_rs::ISO_8859_14),
    ),
    (
        &["ISO-8859-15", "ISO_8859-15", "Latin-9", "csISO885915"],
        Scheme::Web(encoding_rs::ISO_8859_15),
    ),
    (
        &[
            "ISO-8859-16",
            "iso-ir-226",
            "ISO_8859-16:2001",
            "ISO_8859-16",
            "latin10",
            "l10",
            "csISO885916",
        ],
        Scheme::Web(encoding_rs::ISO_8859_16),
    ),
    (
        &["IBM866", "cp866", "866", "csIBM866"],
        Scheme::Web(encoding_rs::IBM866),
    ),
    (&["KOI8-R", "csKOI8R"], Scheme::Web(encoding_rs::KOI8_R)),
    (&["KOI8-U", "csKOI8U"], Scheme::Web(encoding_rs::KOI8_U)),
    (
        &["macintosh", "mac", "csMacintosh"],
        Scheme::Web(encoding_rs::MACINTOSH),
    ),
    (&["windows-874", "cswindows874"], Scheme::Web(encoding_rs::WINDOWS_874)),
    (
        &["windows-1250", "cswindows1250"],
        Scheme::Web(encoding_rs::WINDOWS_1250),
    ),
    (
        &["windows-1251", "cswindows1251"],
        Scheme::Web(encoding_rs::WINDOWS_1251),
    ),
    (
        &["windows-1252", "cswindows1252"],
        Scheme::Web(encoding_rs::WINDOWS_1252),
    ),
    (
        &["windows-1253", "cswindows1253"],
        Scheme::Web(encoding_rs::WINDOWS_1253),
    ),
    (
        &["windows-1254", "cswindows1254"],
        Scheme::Web(encoding_rs::WINDOWS_1254),
    ),
    (
        &["windows-1255", "cswindows1255"],
        Scheme::Web(encoding_rs::WINDOWS_1255),
    ),
    (
        &["windows-1256", "cswindows1256"],
        Scheme::Web(encoding_rs::WINDOWS_1256),
    ),
    (
        &["windows-1257", "cswindows1257"],
        Scheme::Web(encoding_rs::WINDOWS_1257),
    ),
    (
        &["windows-1258", "cswindows1258"],
        Scheme::Web(encoding_rs::WINDOWS_1258),
    ),
    (&["Big5", "csBig5"], Scheme::Web(encoding_rs::BIG5)),
    (&["EUC-KR", "csEUCKR"], Scheme::Web(encoding_rs::EUC_KR)),
    (
        &[
            "EUC-JP",
            "Extended_UNIX_Code_Packed_Format_for_Japanese",
            "csEUCPkdFmtJapanese",
        ],
        Scheme::Web(encoding_rs::EUC_JP),
    ),
    (&["ISO-2022-JP", "csISO2022JP"], Scheme::Web(encoding_rs::ISO_2022_JP)),
    (
        &["Shift_JIS", "MS_Kanji", "csShiftJIS"],
        Scheme::Web(encoding_rs::SHIFT_JIS),
    ),
    (&["GB18030", "csGB18030"], Scheme::Web(encoding_rs::GB18030)),
    (
        &["GBK", "CP936", "MS936", "windows-936", "csGBK"],
        Scheme::Web(encoding_rs::GBK),
    ),
    (&["UTF-8", "csUTF8"], Scheme::Utf8),
    (
        &["UTF-16", "csUTF16"],
        Scheme::Utf16 {
            little: false,
            mark: true,
        },
    ),
    (
        &["UTF-16BE", "csUTF16BE"],
        Scheme::Utf16 {
            little: false,
            mark: false,
        },
    ),
    (
        &["UTF-16LE", "csUTF16LE"],
        Scheme::Utf16 {
            little: true,
            mark: false,
        },
    ),
];

impl Charset {
    /// By name or alias in the IANA registry, whatever the case.
    pub(super) fn of_name(name: &str) -> Option<Charset> {
        CHARSETS.iter().find_map(|(names, scheme)| {
            let preferred = names.first()?;
            let named = names.iter().any(|known| known.eq_ignore_ascii_case(name));
            named.then_some(Charset {
                name: preferred,
                scheme: *scheme,
            })
        })
    }

    /// The preferred name.
    pub(super) fn name(self) -> &'static str {
        self.name
    }

    /// Text in this encoding, or the first character that it does not have.
    pub(super) fn encode(self, text: &str) -> Result<Vec<u8>, char> {
        match self.scheme {
            Scheme::Utf8 => Ok(text.as_bytes().to_vec()),
            Scheme::Ascii => text
                .chars()
                .map(|letter| letter.is_ascii().then_some(letter as u8).ok_or(letter))
                .collect(),
            Scheme::Latin(exceptions) => text
                .chars()
                .map(|letter| latin_byte(letter, exceptions).ok_or(letter))
                .collect(),
            Scheme::Utf16 { little, mark } => {
                let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
                Ok(units
                    .flat_map(|unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
                    .collect())
            }
            Scheme::Web(encoding) => encode_web(encoding, text),
        }
    }

    /// Bytes in this encoding as text. Only UTF-8 is strict; elsewhere what cannot be read becomes U+FFFD.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<String> {
        Some(match self.scheme {
            Scheme::Utf8 => String::from_utf8(bytes.to_vec()).ok()?,
            Scheme::Ascii => bytes
                .iter()
                .map(|byte| {
                    if byte.is_ascii() {
                        char::from(*byte)
                    } else {
                        char::REPLACEMENT_CHARACTER
                    }
                })
                .collect(),
            Scheme::Latin(exceptions) => bytes
                .iter()
                .map(|byte| {
                    exceptions
                        .iter()
                        .find(|(at, _)| at == byte)
                        .map_or(char::from(*byte), |(_, letter)| *letter)
                })
                .collect(),
            Scheme::Utf16 { little, mark } => decode_utf16(bytes, little, mark),
            Scheme::Web(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
        })
    }
}

fn latin_byte(letter: char, exceptions: &[(u8, char)]) -> Option<u8> {
    if let Some((byte, _)) = exceptions.iter().find(|(_, exception)| *exception == letter) {
        return Some(*byte);
    }
    u8::try_from(u32::from(letter))
        .ok()
        .filter(|byte| !exceptions.iter().any(|(taken, _)| taken == byte))
}

fn decode_utf16(bytes: &[u8], mut little: bool, mark: bool) -> String {
    let mut rest = bytes;
    if mark {
        match bytes {
            [0xfe, 0xff, after @ ..] => (rest, little) = (after, false),
            [0xff, 0xfe, after @ ..] => (rest, little) = (after, true),
            _ => {}
        }
    }
    let pairs = rest.chunks(2).map(|pair| match *pair {
        [a, b] => {
            if little {
                u16::from_le_bytes([a, b])
            } else {
                u16::from_be_bytes([a, b])
            }
        }
        // Half a unit is left over.
        _ => 0xfffd,
    });
    char::decode_utf16(pairs)
        .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn encode_web(encoding: &'static Encoding, text: &str) -> Result<Vec<u8>, char> {
    let mut encoder = encoding.new_encoder();
    let mut encoded = Vec::new();
    let mut rest = text;
    loop {
        let room = encoder
            .max_buffer_length_from_utf8_without_replacement(rest.len())
            .unwrap_or(rest.len());
        encoded.reserve(room.max(16));
        let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut encoded, true);
        rest = rest.get(read..).unwrap_or_default();
        match result {
            encoding_rs::EncoderResult::InputEmpty => return Ok(encoded),
            encoding_rs::EncoderResult::OutputFull => {}
            encoding_rs::EncoderResult::Unmappable(letter) => return Err(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(name: &str, text: &str) -> Vec<u8> {
        let charset = Charset::of_name(name).unwrap();
        let encoded = charset.encode(text).unwrap();
        assert_eq!(charset.decode(&encoded).unwrap(), text);
        encoded
    }

    #[test]
    fn bytes_of_encodings() {
        assert_eq!(round_trip("LATIN1", "é\u{80}"), [0xe9, 0x80]);
        assert_eq!(round_trip("latin5", "ğé"), [0xf0, 0xe9]);
        assert_eq!(round_trip("windows-1252", "€"), [0x80]);
        assert_eq!(round_trip("shift_jis", "日"), [0x93, 0xfa]);
        assert_eq!(round_trip("UTF-16", "é"), [0xfe, 0xff, 0, 0xe9]);
        assert_eq!(round_trip("utf-16le", "😀"), [0x3d, 0xd8, 0, 0xde]);
    }

    #[test]
    fn what_an_encoding_lacks() {
        assert_eq!(Charset::of_name("US-ASCII").unwrap().encode("aé"), Err('é'));
        assert_eq!(Charset::of_name("ISO-8859-9").unwrap().encode("ð"), Err('ð'));
        assert_eq!(Charset::of_name("KOI8-R").unwrap().encode("日"), Err('日'));
        assert!(Charset::of_name("utf8").is_none());
    }
}
