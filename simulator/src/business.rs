//! What a number has besides its messages: profile, commerce settings, automation, QR codes, blocked people.

use serde_json::{Map, Value, json};

use crate::graph::Refusal;
use crate::time::Timestamp;

/// Meta's own bound of QR codes for a number.
const CODES_MAX: usize = 2_000;
/// Meta takes 64,000 (docs/cloud-api.md 4.2, 139101); a test has a handful.
const BLOCKED_MAX: usize = 1_000;
/// Letters of a code (OpenAPI: `^[A-Z2-7]{14}$`).
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

#[derive(Debug, Clone, Default)]
pub struct Business {
    profile: Map<String, Value>,
    pub automation: Map<String, Value>,
    cart: Option<bool>,
    catalogue: Option<bool>,
    pub codes: Vec<Code>,
    /// Who is blocked, by user id, with the number that is known.
    pub blocked: Vec<(String, Option<String>)>,
    numbered: u64,
}

#[derive(Debug, Clone)]
pub struct Code {
    pub code: String,
    prefilled: String,
    created_s: i64,
}

impl Business {
    pub fn profile(&self) -> Map<String, Value> {
        let mut profile = self.profile.clone();
        profile.insert("messaging_product".to_owned(), json!("whatsapp"));
        profile
    }

    /// The bounds are those of Meta's OpenAPI file.
    pub fn set_profile(&mut self, change: &Map<String, Value>) -> Result<(), Refusal> {
        for (key, value) in change {
            let most = match key.as_str() {
                "about" => 139,
                "address" | "websites" => 256,
                "description" => 512,
                "email" => 128,
                "vertical" | "profile_picture_handle" => 1_000,
                "messaging_product" => continue,
                _ => return Err(Refusal::new(100, format!("Unexpected key \"{key}\" on param \"root\"."))),
            };
            let texts: Vec<&str> = match value.as_array() {
                Some(list) => list.iter().filter_map(Value::as_str).collect(),
                None => value.as_str().into_iter().collect(),
            };
            if (key == "websites") != value.is_array() || texts.len() > 2 {
                return Err(Refusal::new(
                    100,
                    format!("Param {key} must be a text; websites are a list of at most 2."),
                ));
            }
            if texts.iter().any(|text| text.encode_utf16().count() > most) {
                return Err(Refusal::new(
                    100,
                    format!("Param {key} must be at most {most} characters long."),
                ));
            }
        }
        for (key, value) in change.iter().filter(|(key, _)| *key != "messaging_product") {
            if key == "profile_picture_handle" {
                let url = json!("https://pps.whatsapp.net/v/simulated-profile-picture.jpg");
                self.profile.insert("profile_picture_url".to_owned(), url);
            } else {
                self.profile.insert(key.clone(), value.clone());
            }
        }
        Ok(())
    }

    pub fn commerce(&self, id: &str) -> Map<String, Value> {
        let shown = json!({ "id": id, "catalog_id": id, "is_cart_enabled": self.cart.unwrap_or(true),
                            "is_catalog_visible": self.catalogue.unwrap_or(false) });
        shown.as_object().cloned().unwrap_or_default()
    }

    pub fn set_commerce(&mut self, cart: Option<bool>, catalogue: Option<bool>) {
        self.cart = cart.or(self.cart);
        self.catalogue = catalogue.or(self.catalogue);
    }

    /// A new code, or new words for one that is there.
    pub fn write_code(
        &mut self,
        code: Option<&str>,
        prefilled: &str,
        now: Timestamp,
    ) -> Result<&Code, Refusal> {
        if !(1..=140).contains(&prefilled.encode_utf16().count()) {
            return Err(Refusal::new(100, "Param prefilled_message must have 1 to 140 characters."));
        }
        let Some(code) = code else {
            if self.codes.len() >= CODES_MAX {
                return Err(Refusal::new(
                    100,
                    format!("The number has {CODES_MAX} QR codes, the most that it can have."),
                ));
            }
            self.numbered += 1;
            let letters = (0..14)
                .map(|place| char::from(LETTERS[(self.numbered >> (5 * place.min(12)) & 31) as usize]));
            let code = letters.rev().collect();
            let made = Code { code, prefilled: prefilled.to_owned(), created_s: now.0 / 1_000 };
            self.codes.insert(0, made); // the newest first, as Meta lists them
            return Ok(&self.codes[0]);
        };
        let at = self.codes.iter().position(|known| known.code == code);
        let at = at.ok_or_else(|| Refusal::no_object(code))?;
        self.codes[at].prefilled = prefilled.to_owned();
        Ok(&self.codes[at])
    }

    pub fn delete_code(&mut self, code: &str) -> Result<(), Refusal> {
        let before = self.codes.len();
        self.codes.retain(|known| known.code != code);
        if self.codes.len() < before { Ok(()) } else { Err(Refusal::no_object(code)) }
    }

    /// Blocks or unblocks somebody.
    pub fn block(&mut self, user_id: &str, wa_id: Option<&str>, block: bool) -> Result<(), Refusal> {
        self.blocked.retain(|(known, _)| known != user_id);
        if block && self.blocked.len() >= BLOCKED_MAX {
            return Err(Refusal::new(139_101, format!("The simulator keeps {BLOCKED_MAX} blocked people.")));
        }
        if block {
            self.blocked.push((user_id.to_owned(), wa_id.map(str::to_owned)));
        }
        Ok(())
    }

    pub fn has_blocked(&self, user_id: &str) -> bool {
        self.blocked.iter().any(|(blocked, _)| blocked == user_id)
    }
}

impl Code {
    /// `image` is PNG or SVG.
    pub fn shown(&self, base: &str, image: Option<&str>) -> Map<String, Value> {
        let mut shown = json!({ "code": self.code, "prefilled_message": self.prefilled, "creation_time": self.created_s,
                                "deep_link_url": format!("https://wa.me/message/{}", self.code) });
        if let Some(image) = image {
            let (kind, code) = (image.to_lowercase(), &self.code);
            shown["qr_image_url"] = json!(format!("{base}/whatsapp_business/qr/{code}.{kind}"));
        }
        shown.as_object().cloned().unwrap_or_default()
    }
}
