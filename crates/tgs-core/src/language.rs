//! Languages: codes of ISO 639-1, 639-2/B and 639-2/T, and their English names.
//!
//! Lists have two letters, files have three, and some files have names.

use std::fmt;

/// The codes of ISO 639-1 with those of ISO 639-2/T, and of 639-2/B where they differ.
const CODES: &str = "aa aar|ab abk|ae ave|af afr|ak aka|am amh|an arg|ar ara|as asm|av ava|ay aym|az aze|ba bak|\
    be bel|bg bul|bi bis|bm bam|bn ben|bo bod tib|br bre|bs bos|ca cat|ce che|ch cha|co cos|cr cre|cs ces cze|\
    cu chu|cv chv|cy cym wel|da dan|de deu ger|dv div|dz dzo|ee ewe|el ell gre|en eng|eo epo|es spa|et est|\
    eu eus baq|fa fas per|ff ful|fi fin|fj fij|fo fao|fr fra fre|fy fry|ga gle|gd gla|gl glg|gn grn|gu guj|\
    gv glv|ha hau|he heb|hi hin|ho hmo|hr hrv|ht hat|hu hun|hy hye arm|hz her|ia ina|id ind|ie ile|ig ibo|\
    ii iii|ik ipk|io ido|is isl ice|it ita|iu iku|ja jpn|jv jav|ka kat geo|kg kon|ki kik|kj kua|kk kaz|kl kal|\
    km khm|kn kan|ko kor|kr kau|ks kas|ku kur|kv kom|kw cor|ky kir|la lat|lb ltz|lg lug|li lim|ln lin|lo lao|\
    lt lit|lu lub|lv lav|mg mlg|mh mah|mi mri mao|mk mkd mac|ml mal|mn mon|mr mar|ms msa may|mt mlt|\
    my mya bur|na nau|nb nob|nd nde|ne nep|ng ndo|nl nld dut|nn nno|no nor|nr nbl|nv nav|ny nya|oc oci|oj oji|\
    om orm|or ori|os oss|pa pan|pi pli|pl pol|ps pus|pt por|qu que|rm roh|rn run|ro ron rum|ru rus|rw kin|\
    sa san|sc srd|sd snd|se sme|sg sag|si sin|sk slk slo|sl slv|sm smo|sn sna|so som|sq sqi alb|sr srp|ss ssw|\
    st sot|su sun|sv swe|sw swa|ta tam|te tel|tg tgk|th tha|ti tir|tk tuk|tl tgl|tn tsn|to ton|tr tur|ts tso|\
    tt tat|tw twi|ty tah|ug uig|uk ukr|ur urd|uz uzb|ve ven|vi vie|vo vol|wa wln|wo wol|xh xho|yi yid|yo yor|\
    za zha|zh zho chi|zu zul";

/// The languages of ISO 639-2 that have no code of two letters. Groups of languages are included.
const LONG_CODES: &str = "ace ach ada ady afa afh ain akk ale alg alt ang anp apa arc arn arp art arw ast ath aus awa bad \
    bai bal ban bas bat bej bem ber bho bik bin bla bnt bra btk bua bug byn cad cai car cau ceb cel chb chg chk \
    chm chn cho chp chr chy cmc cnr cop cpe cpf cpp crh crp csb cus dak dar day del den dgr din doi dra dsb dua dum dyu \
    efi egy eka elx enm ewo fan fat fil fiu fon frm fro frr frs fur gaa gay gba gem gez gil gmh goh gon gor got grb \
    grc gsw gwi hai haw hil him hit hmn hsb hup iba ijo ilo inc ine inh ira iro jbo jpr jrb kaa kab kac kam kar kaw \
    kbd kha khi kho kmb kok kos kpe krc krl kro kru kum kut lad lah lam lez lol loz lua lui lun luo lus mad mag mai \
    mak man map mas mdf mdr men mga mic min mkh mnc mni mno moh mos mun mus mwl mwr myn myv nah nai nap nds new nia \
    nic niu nog non nqo nso nub nwc nym nyn nyo nzi osa ota oto paa pag pal pam pap pau peo phi phn pon pra pro raj \
    rap rar roa rom rup sad sah sai sal sam sas sat scn sco sel sem sga sgn shn sid sio sit sla sma smi smj smn sms \
    snk sog son srn srr ssa suk sus sux syc syr tai tem ter tet tig tiv tkl tlh tli tmh tog tpi tsi tum tup tut tvl \
    tyv udm uga umb vai vot wak wal war was wen xal yao yap ypk zap zbl zen zgh znd zun zza";

/// English names, each after the code of two letters.
const NAMES: &str = "aa afar|ab abkhazian|ae avestan|af afrikaans|ak akan|am amharic|an aragonese|ar arabic|as assamese|\
    av avaric|ay aymara|az azerbaijani|ba bashkir|be belarusian|bg bulgarian|bi bislama|bm bambara|bn bengali|\
    bo tibetan|br breton|bs bosnian|ca catalan|ca valencian|ce chechen|ch chamorro|co corsican|cr cree|cs czech|\
    cu church slavic|cv chuvash|cy welsh|da danish|de german|dv divehi|dv maldivian|dz dzongkha|ee ewe|el greek|\
    en english|eo esperanto|es spanish|es castilian|et estonian|eu basque|fa persian|fa farsi|ff fulah|fi finnish|\
    fj fijian|fo faroese|fr french|fy frisian|fy western frisian|ga irish|gd gaelic|gd scottish gaelic|gl galician|\
    gn guarani|gu gujarati|gv manx|ha hausa|he hebrew|hi hindi|ho hiri motu|hr croatian|ht haitian|hu hungarian|\
    hy armenian|hz herero|ia interlingua|id indonesian|ie interlingue|ig igbo|ii sichuan yi|ik inupiaq|io ido|\
    is icelandic|it italian|iu inuktitut|ja japanese|jv javanese|ka georgian|kg kongo|ki kikuyu|kj kuanyama|\
    kk kazakh|kl greenlandic|kl kalaallisut|km khmer|kn kannada|ko korean|kr kanuri|ks kashmiri|ku kurdish|kv komi|\
    kw cornish|ky kyrgyz|ky kirghiz|la latin|lb luxembourgish|lg ganda|li limburgish|ln lingala|lo lao|\
    lt lithuanian|lu luba-katanga|lv latvian|mg malagasy|mh marshallese|mi maori|mk macedonian|ml malayalam|\
    mn mongolian|mr marathi|ms malay|mt maltese|my burmese|na nauru|nb norwegian bokmal|nb bokmal|\
    nd north ndebele|ne nepali|ng ndonga|nl dutch|nl flemish|nn norwegian nynorsk|nn nynorsk|no norwegian|\
    nr south ndebele|nv navajo|ny chichewa|oc occitan|oj ojibwa|om oromo|or oriya|os ossetian|pa punjabi|\
    pa panjabi|pi pali|pl polish|ps pashto|ps pushto|pt portuguese|qu quechua|rm romansh|rn rundi|ro romanian|\
    ro moldavian|ru russian|rw kinyarwanda|sa sanskrit|sc sardinian|sd sindhi|se northern sami|sg sango|si sinhala|\
    sk slovak|sl slovenian|sm samoan|sn shona|so somali|sq albanian|sr serbian|ss swati|st sotho|su sundanese|\
    sv swedish|sw swahili|ta tamil|te telugu|tg tajik|th thai|ti tigrinya|tk turkmen|tl tagalog|tn tswana|to tonga|\
    tr turkish|ts tsonga|tt tatar|tw twi|ty tahitian|ug uighur|ug uyghur|uk ukrainian|ur urdu|uz uzbek|ve venda|\
    vi vietnamese|vo volapuk|wa walloon|wo wolof|xh xhosa|yi yiddish|yo yoruba|za zhuang|zh chinese|zh mandarin|\
    zu zulu";

/// A language, by its code of ISO 639-2/T.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Language([u8; 3]);

impl Language {
    /// The language with this code or English name. Ignores case and the region (`pt-BR`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let base = text.split(['-', '_']).next().unwrap_or_default().trim();
        let named =
            |name: &str| NAMES.split('|').find_map(|row| row.split_once(' ').filter(|it| it.1 == name));
        let code = named(&text).map_or(base, |(code, _)| code);
        let row = CODES.split('|').find(|row| row.split(' ').any(|known| known == code));
        let code = match row {
            Some(row) => row.split(' ').nth(1)?,
            None => LONG_CODES.split_whitespace().find(|known| *known == code)?,
        };
        code.as_bytes().try_into().ok().map(Self)
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Most languages of a [`Languages`].
const MOST: usize = 8;

/// Up to eight languages, the preferred one first.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Languages([Option<Language>; MOST]);

/// Why a text is no list of languages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LanguagesError {
    /// A word is neither a code nor a name.
    #[error(
        "has “{0}”, which is no code of ISO 639 and no English name of a language; write ru,en or German"
    )]
    Unknown(String),
    /// Too many languages.
    #[error("has more than {MOST} languages")]
    Many,
}

impl Languages {
    /// Parses codes and names that are separated by commas.
    pub fn parse(text: &str) -> Result<Self, LanguagesError> {
        let mut found = Self::default();
        for (number, word) in text.split(',').map(str::trim).enumerate() {
            let known = Language::parse(word);
            let known = known.ok_or_else(|| LanguagesError::Unknown(shown(word)))?;
            *found.0.get_mut(number).ok_or(LanguagesError::Many)? = Some(known);
        }
        Ok(found)
    }

    /// The codes, the preferred one first.
    #[must_use]
    pub fn codes(&self) -> Vec<String> {
        self.0.iter().flatten().map(|language| language.code().to_owned()).collect()
    }

    /// The place of the language that `tag` names, 0 for the preferred one.
    #[must_use]
    pub fn position(&self, tag: &str) -> Option<usize> {
        let spoken = Language::parse(tag)?;
        self.0.iter().position(|language| *language == Some(spoken))
    }
}

/// The word, if it may be shown: a value that was meant for another setting may be a secret.
fn shown(word: &str) -> String {
    let plain = word.chars().count() <= 20 && word.chars().all(|c| c.is_alphabetic() || c == ' ');
    if plain { word.to_owned() } else { "…".to_owned() }
}

impl fmt::Debug for Languages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().flatten()).finish()
    }
}

/// Whether two codes or names mean one language. Ignores case and the region (`pt-BR`).
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    let base = |code: &str| code.split(['-', '_']).next().unwrap_or_default().trim().to_ascii_lowercase();
    match (Language::parse(one), Language::parse(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => base(one) == base(other) && !base(one).is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letters_and_three() {
        for (one, other, same) in [
            ("ru", "rus", true),
            ("DE", "ger", true),
            ("deu", "ger", true),
            ("pt-BR", "por", true),
            ("en", "fra", false),
            ("", "", false),
            ("x", "", false),
            ("tlh", "tlh", true),
            ("und", "eng", false),
        ] {
            assert_eq!(is_same(one, other), same, "{one} and {other}");
        }
        let rows: Vec<&str> = CODES.split('|').collect();
        assert_eq!(rows.len(), 183);
        let lengths = |row: &&str| row.split(' ').map(str::len).collect::<Vec<_>>();
        assert!(rows.iter().map(lengths).all(|lengths| matches!(lengths[..], [2, 3] | [2, 3, 3])));
    }

    #[test]
    fn codes_and_names_of_a_language_are_one() {
        let german = Language::parse("de");
        for text in ["deu", "ger", "DE", "German", " german ", "de-AT", "deu_DE"] {
            assert!(german.is_some() && Language::parse(text) == german, "{text}");
        }
        assert_eq!(Language::parse("Scottish Gaelic"), Language::parse("gd"));
        assert_eq!(Language::parse("gsw").map(|it| it.code().to_owned()), Some("gsw".to_owned()));
        for text in ["", "xx", "qqq", "und", "Germanic", "d"] {
            assert_eq!(Language::parse(text), None, "{text}");
        }
        for row in NAMES.split('|') {
            let (code, name) = row.split_once(' ').unwrap();
            assert!(Language::parse(code).is_some() && is_same(code, name), "{row}");
        }
    }

    #[test]
    fn a_list_has_an_order_and_a_fault_is_named() {
        let list = Languages::parse("ru, English").unwrap();
        assert_eq!(
            (list.position("rus"), list.position("en-US"), list.position("de")),
            (Some(0), Some(1), None)
        );
        assert_eq!(format!("{list:?}"), "[rus, eng]");
        assert_eq!(Languages::parse("ru,klingonish"), Err(LanguagesError::Unknown("klingonish".into())));
        assert_eq!(Languages::parse("ru,,en"), Err(LanguagesError::Unknown(String::new())));
        assert_eq!(Languages::parse("ru,12345678"), Err(LanguagesError::Unknown("…".into())));
        assert_eq!(Languages::parse("ru,en,de,fr,it,es,pl,cs,sk"), Err(LanguagesError::Many));
    }
}
