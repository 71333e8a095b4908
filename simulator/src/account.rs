//! The account: token, numbers, subscription, and what their nodes show (docs/cloud-api.md 6).

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::business::Business;
use crate::fields;
use crate::graph::Refusal;
use crate::time::Timestamp;

/// The business account that webhooks name unless another was given.
pub const BUSINESS_ACCOUNT: &str = "900000000000001";
pub const APP: &str = "900000000000701";
pub const DISPLAY_NUMBER: &str = "15550100100";
/// Numbers and nodes with something of their own: a test has a handful.
const NODES_MAX: usize = 1_000;
/// register and deregister: 10 in 72 h, then a lock (docs/cloud-api.md 5.5).
const REGISTRATIONS: usize = 10;
const REGISTRATIONS_MS: i64 = 72 * 3_600_000;

/// What `/debug_token` tells, and whether calls are taken.
#[derive(Debug)]
pub struct Token {
    /// Without it any bearer token is taken.
    pub accepted: Option<SecretString>,
    /// The code and subcode that every call is refused with.
    pub refused: Option<(i64, Option<i64>)>,
    /// Unix seconds; 0 is never.
    pub expires_at: i64,
    pub scopes: Vec<String>,
}

impl Default for Token {
    fn default() -> Self {
        let scopes = ["whatsapp_business_management", "whatsapp_business_messaging"];
        Self { accepted: None, refused: None, expires_at: 0, scopes: scopes.map(str::to_owned).to_vec() }
    }
}

impl Token {
    /// Judges a bearer token.
    pub fn judge(&self, bearer: Option<&str>) -> Result<(), Refusal> {
        let refuse =
            |code, subcode, details: &str| Err(Refusal { code, subcode, details: details.to_owned() });
        let Some(bearer) = bearer.filter(|bearer| !bearer.is_empty()) else {
            return refuse(190, None, "An access token is required to request this resource.");
        };
        if let Some((code, subcode)) = self.refused {
            return refuse(code, subcode, "Error validating access token: as the simulator was told");
        }
        match &self.accepted {
            Some(accepted) if accepted.expose_secret() != bearer => {
                refuse(190, Some(467), "Invalid OAuth access token.")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// `GET /debug_token`. Without an account of its own any id is this one, so the scopes name none.
    pub fn debug(&self, inspected: &str, account: Option<&str>) -> Value {
        let targets: Vec<&str> = account.into_iter().collect();
        let granular: Vec<Value> =
            self.scopes.iter().map(|scope| json!({ "scope": scope, "target_ids": targets })).collect();
        let data = match self.judge(Some(inspected)) {
            Ok(()) => json!({
                "app_id": APP, "type": "SYSTEM_USER", "application": "Simulated app", "is_valid": true,
                "data_access_expires_at": 0, "expires_at": self.expires_at, "issued_at": 1_780_000_000,
                "scopes": self.scopes, "granular_scopes": granular, "user_id": "900000000000702",
            }),
            Err(refusal) => json!({
                "app_id": APP, "type": "SYSTEM_USER", "application": "Simulated app", "is_valid": false,
                "error": { "code": refusal.code, "message": refusal.details, "subcode": refusal.subcode },
                "expires_at": self.expires_at, "scopes": [], "user_id": "900000000000702",
            }),
        };
        json!({ "data": data })
    }
}

#[derive(Debug, Clone, Default)]
pub struct Number {
    pub pin: Option<String>,
    /// Taken from the platform by deregister.
    pub deregistered: bool,
    /// Where its webhooks go instead.
    pub callback: Option<String>,
    /// Profile, QR codes, blocked people and the like.
    pub business: Business,
    registrations: Vec<i64>,
}

#[derive(Debug)]
pub struct Account {
    pub id: Option<String>,
    pub token: Token,
    /// Without it no webhook goes out: the classic silent failure (docs/cloud-api.md 3.3).
    pub subscribed: bool,
    /// Where webhooks go instead of to the app's address.
    pub callback: Option<String>,
    numbers: BTreeMap<String, Number>,
    /// Ids that stood in the place of an account: without `--business-account-id` any id does, and it keeps being one.
    named: BTreeSet<String>,
    /// What the control interface set on nodes, by id.
    shown: BTreeMap<String, Map<String, Value>>,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            id: None,
            token: Token::default(),
            subscribed: true,
            callback: None,
            numbers: BTreeMap::new(),
            named: BTreeSet::new(),
            shown: BTreeMap::new(),
        }
    }
}

impl Account {
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or(BUSINESS_ACCOUNT)
    }

    /// The one that it was started with.
    pub fn own_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether a node in the place of an account is this one: any is, unless one was given.
    pub fn is_account(&mut self, node: &str) -> Result<(), Refusal> {
        if self.id.as_deref().is_some_and(|id| id != node) {
            return Err(Refusal::no_object(node));
        }
        if self.named.len() < NODES_MAX {
            self.named.insert(node.to_owned());
        }
        Ok(())
    }

    /// Whether a node is the account, and else a number. Ids are one space, so what decides is, in this order: the ids that the
    /// simulator was started with, which kind has all the fields that are asked for, what the id stood for before.
    pub fn names_account(&self, node: &str, numbers: &[String], asked: Option<&str>) -> bool {
        if node == self.id() {
            return true;
        }
        if self.id.is_some() || numbers.iter().any(|number| number == node) {
            return false;
        }
        let (of_number, of_account) =
            asked.map_or((true, true), |asked| (fields::NUMBER.has(asked), fields::ACCOUNT.has(asked)));
        if of_number == of_account { !numbers.is_empty() || self.named.contains(node) } else { of_account }
    }

    pub fn number(&self, id: &str) -> Option<&Number> {
        self.numbers.get(id)
    }

    /// A number that is asked for is there from then on, and listed.
    pub fn number_mut(&mut self, id: &str) -> &mut Number {
        if self.numbers.len() >= NODES_MAX && !self.numbers.contains_key(id) {
            self.numbers.pop_first();
        }
        self.numbers.entry(id.to_owned()).or_default()
    }

    /// The ids of the numbers that were asked for.
    pub fn numbers(&self) -> impl Iterator<Item = &String> {
        self.numbers.keys()
    }

    /// Fields that a node shows from now on.
    pub fn show(&mut self, id: &str, fields: Map<String, Value>) {
        if self.shown.len() >= NODES_MAX && !self.shown.contains_key(id) {
            self.shown.pop_first();
        }
        self.shown.entry(id.to_owned()).or_default().extend(fields);
    }

    /// `POST /{phone_number_id}/register`, and `deregister` without a PIN.
    pub fn register(&mut self, id: &str, pin: Option<&str>, now: Timestamp) -> Result<(), Refusal> {
        let number = self.number_mut(id);
        number.registrations.retain(|at| now.0 - at < REGISTRATIONS_MS);
        if number.registrations.len() >= REGISTRATIONS {
            let details = "More than 10 registrations and deregistrations within 72 hours.";
            return Err(Refusal::new(133_016, details));
        }
        number.registrations.push(now.0);
        let Some(pin) = pin else {
            number.deregistered = true;
            return Ok(());
        };
        if number.pin.as_deref().is_some_and(|set| set != pin) {
            return Err(Refusal::new(133_005, "The two-step verification PIN is wrong."));
        }
        number.pin = Some(pin.to_owned());
        number.deregistered = false;
        Ok(())
    }

    /// `GET /{phone_number_id}`.
    pub fn number_node(
        &self,
        id: &str,
        app_url: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Value, Refusal> {
        let number = self.number(id).cloned().unwrap_or_default();
        let mut webhooks = json!({ "application": app_url });
        if let Some(callback) = &self.callback {
            webhooks["whatsapp_business_account"] = json!(callback);
        }
        if let Some(callback) = &number.callback {
            webhooks["phone_number"] = json!(callback);
        }
        let status = if number.deregistered { "DISCONNECTED" } else { "CONNECTED" };
        let mut node = json!({
            "id": id, "display_phone_number": "+1 555-010-0100", "verified_name": "Simulated Shop", "status": status,
            "quality_rating": "GREEN", "quality_score": { "score": "GREEN" }, "platform_type": "CLOUD_API",
            "host_platform": "CLOUD_API", "throughput": { "level": "STANDARD" }, "name_status": "APPROVED",
            "new_name_status": "NONE", "unified_cert_status": "APPROVED", "code_verification_status": "VERIFIED",
            "account_mode": "LIVE", "country_code": "US", "country_dial_code": "1", "search_visibility": "VISIBLE",
            "is_official_business_account": false, "is_pin_enabled": number.pin.is_some(), "is_on_biz_app": false,
            "is_preverified_number": false, "last_onboarded_time": "2026-01-05T09:00:00+0000",
            "eligibility_for_api_business_global_search": "NON_ELIGIBLE_UNDEFINED_COUNTRY",
            "messaging_limit_tier": "TIER_250", "whatsapp_business_manager_messaging_limit": "TIER_250",
            "webhook_configuration": webhooks, "health_status": self.health(("PHONE_NUMBER", id)),
        });
        if !number.business.automation.is_empty() {
            node["conversational_automation"] = json!(number.business.automation);
            node["conversational_automation"]["id"] = json!(id);
        }
        fields::NUMBER.select(&self.with_shown(node), fields)
    }

    /// `GET /{waba_id}`.
    pub fn account_node(&self, id: &str, edges: Value, fields: Option<&str>) -> Result<Value, Refusal> {
        let node = json!({
            "id": id, "name": "Simulated Shop", "currency": "USD", "timezone_id": "1", "country": "US",
            "message_template_namespace": "simulated_namespace", "account_review_status": "APPROVED",
            "business_verification_status": "verified", "ownership_type": "SELF", "status": "ACTIVE",
            "is_enabled_for_insights": false, "primary_business_location": "US",
            "owner_business_info": { "id": "900000000000801", "name": "Simulated Shop" },
            "whatsapp_business_manager_messaging_limit": "TIER_250", "health_status": self.health(("WABA", id)),
        });
        let mut node = self.with_shown(node);
        node.extend(edges.as_object().cloned().unwrap_or_default());
        fields::ACCOUNT.select(&node, fields)
    }

    fn with_shown(&self, node: Value) -> Map<String, Value> {
        let id = node["id"].as_str().unwrap_or_default().to_owned();
        let mut node = node.as_object().cloned().unwrap_or_default();
        node.extend(self.shown.get(&id).cloned().unwrap_or_default());
        node
    }

    fn health(&self, asked: (&str, &str)) -> Value {
        let mut entities = vec![asked];
        entities.extend(
            [("WABA", self.id()), ("BUSINESS", "900000000000801"), ("APP", APP)]
                .into_iter()
                .filter(|entity| entity.0 != asked.0),
        );
        let entity = |(kind, id)| json!({ "entity_type": kind, "id": id, "can_send_message": "AVAILABLE" });
        let entities: Vec<Value> = entities.into_iter().map(entity).collect();
        json!({ "can_send_message": "AVAILABLE", "entities": entities })
    }
}
