//! The subscriptions of a session: asked for in pieces, known by what the broker granted, each publish once
//! (docs/decisions/0019-each-publish-once.md).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::limits::Limits;
use crate::alert::route::Routes;
use crate::event::subscription_cover::{Partial, cover, has_wildcard, overlapping};

/// AWS IoT Core takes eight filters in one SUBSCRIBE, and ends the connection over a ninth; no broker announces its limit.
const PIECE: usize = 8;
/// MQTT 5, 3.8.2.1.2.
const IDENTIFIER_MAX: u32 = 268_435_455;
/// Copies of one publish follow each other; so many are remembered until the broker has shown how it sends them.
const RECENT: usize = 32;
/// What the broker kept from before may have no identifiers, as of a version of ours that gave none: as many as it may send
/// twice over without an acknowledgement prove nothing.
const UNNAMED_FROM_BEFORE: usize = 512;

/// One SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeRequest {
    pub filters: Vec<String>,
    pub identifier: Option<u32>,
}

/// The broker's answer about one filter: whether it delivers with QoS 1, or why not at all.
pub type Granted = Result<bool, String>;

/// What the broker has granted, once it has answered all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// What the session holds.
    pub filters: Vec<String>,
    /// What is wanted and not heard, and why.
    pub refused: BTreeMap<String, String>,
    /// Delivered without a promise, since the broker grants no more than QoS 0.
    pub unsure: Vec<String>,
    /// Pairs that overlap where nothing tells their copies apart: such an event may come twice.
    pub doubled: Vec<(String, String)>,
}

/// A publish as it came.
#[derive(Debug, Clone, Copy)]
pub struct DeliveredCopy<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub retained: bool,
    /// Subscription identifiers.
    pub identifiers: &'a [u32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is the event.
    Take,
    /// The event came, or comes, by another subscription.
    Repeated,
    /// It came because a merged filter is wider than what is wanted.
    Unwanted,
    /// Not before the broker has said which subscriptions there are.
    Later,
}

#[derive(Debug)]
pub struct Subscriptions {
    wanted: BTreeSet<String>,
    wanted_routes: Routes,
    /// Wider ones that were tried in place of wanted ones are here as well.
    refused: BTreeMap<String, String>,
    unsure: BTreeSet<String>,
    wildcards: bool,
    plan: FilterPlan,
    /// SUBSCRIBEs without an answer.
    open: usize,
    /// In this connection, with which identifier.
    granted: BTreeMap<String, Option<u32>>,
    /// What the broker's session may hold.
    in_session: BTreeSet<String>,
    is_new: bool,
    how: OverlapBehaviour,
}

/// What the broker has shown of how it sends a publish that several subscriptions match.
#[derive(Debug, Default)]
struct OverlapBehaviour {
    /// The copy with the first identifier surely comes: two copies of one publish came, or one with several identifiers.
    is_known: bool,
    /// It names subscriptions at all.
    names: bool,
    unnamed: usize,
    ignores: bool,
    /// What was taken while nothing was known: content and identifier.
    recent: VecDeque<(u64, u32)>,
}

/// A set of filters, and how copies of overlapping ones are told apart.
#[derive(Debug, Default)]
struct FilterPlan {
    filters: Vec<String>,
    /// For each filter its group: those of one group are pairwise disjoint, and share an identifier.
    groups: Vec<u32>,
    /// The first group's; `None` where no copy needs one.
    first: Option<u32>,
    partial: Option<Partial>,
    routes: Routes,
    is_wider: bool,
}

impl Subscriptions {
    /// `earlier` is what the broker's session was last known to hold.
    #[must_use]
    pub fn new(wanted: &[String], earlier: &[String]) -> Self {
        Self {
            wanted: wanted.iter().cloned().collect(),
            wanted_routes: Routes::of_filters(wanted),
            refused: BTreeMap::new(),
            unsure: BTreeSet::new(),
            wildcards: true,
            plan: FilterPlan::default(),
            open: 0,
            granted: BTreeMap::new(),
            in_session: wanted.iter().chain(earlier).cloned().collect(),
            is_new: false,
            how: OverlapBehaviour::default(),
        }
    }

    /// A connection begins: what to send first. What was refused may be granted now.
    pub fn begin(&mut self, session_present: bool, limits: &Limits) -> Vec<SubscribeRequest> {
        self.is_new = !session_present;
        if self.is_new {
            self.in_session.clear();
        }
        self.granted.clear();
        self.refused.retain(|filter, _| !self.wanted.contains(filter));
        self.wildcards = limits.wildcards;
        if !self.wildcards {
            self.refuse_wildcards();
        }
        let partial = match limits.identifiers && !self.how.ignores {
            true => Partial::Kept,
            false => Partial::Merged,
        };
        self.open = 0;
        self.turn_to(self.plan_for(partial))
    }

    /// From now on these are wanted: what to send. What the broker answers meanwhile to earlier requests counts as well.
    pub fn want(&mut self, wanted: &[String]) -> Vec<SubscribeRequest> {
        self.wanted = wanted.iter().cloned().collect();
        self.wanted_routes = Routes::of_filters(wanted);
        let (wanted, wildcards) = (&self.wanted, self.wildcards);
        self.refused.retain(|filter, _| !wanted.contains(filter));
        if !wildcards {
            self.refuse_wildcards();
        }
        self.turn_to(self.plan_for(self.plan.partial.unwrap_or(Partial::Kept)))
    }

    fn refuse_wildcards(&mut self) {
        let refuse = |filter: &String| (filter.clone(), "the broker takes no wildcards".to_owned());
        self.refused.extend(self.wanted.iter().filter(|filter| has_wildcard(filter)).map(refuse));
    }

    /// Asks again for what was refused: the broker's access list may have been put right meanwhile. Nothing while the
    /// broker owes an answer.
    pub fn again(&mut self) -> Vec<SubscribeRequest> {
        let may =
            |filter: &&String| self.wanted.contains(*filter) && (self.wildcards || !has_wildcard(filter));
        let filters: Vec<String> = self.refused.keys().filter(may).cloned().collect();
        let groups = self.plan.groups.iter().max().map_or(0, |last| last + 1);
        let asks = pieces(&filters, self.plan.first.map(|first| first + groups));
        self.open += asks.len();
        asks
    }

    /// The broker's answer to a SUBSCRIBE: what to send next.
    pub fn answered(&mut self, ask: &SubscribeRequest, answers: Vec<Granted>) -> Vec<SubscribeRequest> {
        self.open = self.open.saturating_sub(1);
        for (filter, answer) in ask.filters.iter().zip(answers) {
            match answer {
                Ok(surely) => {
                    self.refused.remove(filter);
                    self.in_session.insert(filter.clone());
                    self.granted.insert(filter.clone(), ask.identifier);
                    if surely {
                        self.unsure.remove(filter)
                    } else {
                        self.unsure.insert(filter.clone())
                    };
                }
                Err(reason) => drop(self.refused.insert(filter.clone(), reason)),
            }
        }
        if self.open > 0 {
            return Vec::new();
        }
        let next = self.plan_for(self.plan.partial.unwrap_or(Partial::Kept));
        if next.filters == self.plan.filters { Vec::new() } else { self.turn_to(next) }
    }

    /// Another way of subscribing, where the broker has shown that it ignores identifiers: what to send.
    pub fn reconsider(&mut self) -> Vec<SubscribeRequest> {
        if !self.how.ignores || self.open > 0 || self.plan.partial == Some(Partial::Merged) {
            return Vec::new();
        }
        self.turn_to(self.plan_for(Partial::Merged))
    }

    /// Whether the broker has answered all.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.open == 0
    }

    /// Whether something that is wanted was refused.
    #[must_use]
    pub fn lacks(&self) -> bool {
        self.wanted.iter().any(|filter| self.refused.contains_key(filter))
    }

    /// What the session holds beside the plan, in pieces: to be unsubscribed from, or its copies would come for ever.
    pub fn leftovers(&mut self) -> Vec<Vec<String>> {
        let planned: BTreeSet<String> = self.plan.filters.iter().cloned().collect();
        let left: Vec<String> = self.in_session.difference(&planned).cloned().collect();
        self.in_session = planned;
        left.chunks(PIECE).map(<[String]>::to_vec).collect()
    }

    #[must_use]
    pub fn outcome(&self) -> Grants {
        let is_heard = |filter: &&String| !self.plan.routes.covering(filter).is_empty();
        let lost = self.wanted.iter().filter(|filter| !is_heard(filter));
        let why = |filter: &String| self.refused.get(filter).cloned().unwrap_or_default();
        let unsure = self.plan.filters.iter().filter(|filter| self.unsure.contains(*filter));
        Grants {
            filters: self.plan.filters.clone(),
            refused: lost.map(|filter| (filter.clone(), why(filter))).collect(),
            unsure: unsure.cloned().collect(),
            doubled: self.plan.doubled(),
        }
    }

    /// Whether this copy is the event. Losing one is worse than hearing it twice: a copy is passed over only when it is
    /// certain that the other one comes.
    pub fn judge(&mut self, copy: &DeliveredCopy<'_>) -> Delivery {
        let Some(first) = self.plan.first else {
            let is_unwanted = self.plan.is_wider
                && self.wanted_routes.find(copy.topic).is_empty()
                && !self.plan.routes.find(copy.topic).is_empty();
            return if is_unwanted { Delivery::Unwanted } else { Delivery::Take };
        };
        let matching = self.plan.routes.find(copy.topic);
        if matching.len() < 2 {
            return Delivery::Take;
        }
        if !self.is_settled() {
            return Delivery::Later;
        }
        let groups = matching.iter().filter_map(|index| self.plan.groups.get(*index));
        let Some(awaited) = groups.min().map(|group| first + group) else { return Delivery::Take };
        let ours = first..=first + self.plan.groups.iter().max().copied().unwrap_or(0);
        let known: Vec<u32> = copy.identifiers.iter().copied().filter(|id| ours.contains(id)).collect();
        let Some(own) = known.first().copied() else {
            // Queued under subscriptions of before, or by a broker that names none.
            self.how.unnamed(copy, self.is_new);
            return Delivery::Take;
        };
        self.how.names = true;
        if known.len() > 1 {
            self.how.is_known |= !copy.retained;
            return Delivery::Take; // one copy for all
        }
        if copy.retained {
            // Sent for a subscription that is new to the session. In a session of before the other one may be older.
            return if own != awaited && self.is_new { Delivery::Repeated } else { Delivery::Take };
        }
        self.how.judge(copy, own, own == awaited)
    }

    fn plan_for(&self, partial: Partial) -> FilterPlan {
        let refused = self.refused.keys().cloned().collect();
        FilterPlan::new(cover(&self.wanted, &refused, partial), partial, &self.wanted)
    }

    fn turn_to(&mut self, plan: FilterPlan) -> Vec<SubscribeRequest> {
        self.plan = plan;
        self.how.recent.clear();
        let asks = self.plan.asks(&self.granted);
        self.open += asks.len();
        asks
    }
}

impl OverlapBehaviour {
    fn unnamed(&mut self, copy: &DeliveredCopy<'_>, is_new: bool) {
        if copy.identifiers.is_empty() && !copy.retained && !self.names {
            self.unnamed += 1;
            self.ignores |= self.unnamed > if is_new { 0 } else { UNNAMED_FROM_BEFORE };
        }
    }

    /// Once it is known that the awaited copy comes, it alone counts: by that a copy that comes again after a crash is
    /// judged as it was before. Until then what comes first counts, and the other one is known by its content: a broker
    /// that merges copies and names one subscription of several may never name the awaited one.
    fn judge(&mut self, copy: &DeliveredCopy<'_>, own: u32, is_awaited: bool) -> Delivery {
        if self.is_known && !is_awaited {
            return Delivery::Repeated;
        }
        if self.is_known && self.recent.is_empty() {
            return Delivery::Take;
        }
        let mut hasher = DefaultHasher::new();
        (copy.topic, copy.payload).hash(&mut hasher);
        let content = hasher.finish();
        let twin = self.recent.iter().position(|(other, by)| *other == content && *by != own);
        if let Some(twin) = twin {
            self.recent.remove(twin);
            self.is_known = true;
            return Delivery::Repeated;
        }
        if !self.is_known {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((content, own));
        }
        Delivery::Take
    }
}

impl FilterPlan {
    fn new(filters: Vec<String>, partial: Partial, wanted: &BTreeSet<String>) -> Self {
        let routes = Routes::of_filters(&filters);
        let mut groups: Vec<u32> = Vec::new();
        for filter in &filters {
            let others = routes.overlapping(filter).into_iter();
            let taken: BTreeSet<u32> = others.filter_map(|other| groups.get(other).copied()).collect();
            groups.push((0..).find(|group| !taken.contains(group)).unwrap_or(0));
        }
        let count = groups.iter().max().map_or(0, |last| last + 1);
        let needs_names = partial == Partial::Kept && count > 1;
        Self {
            first: needs_names.then(|| first_identifier(&filters, count)),
            routes,
            is_wider: filters.iter().any(|filter| !wanted.contains(filter)),
            partial: Some(partial),
            filters,
            groups,
        }
    }

    /// A group's filters before the next group's: when a copy of a later group comes, the broker has answered the earlier.
    fn asks(&self, granted: &BTreeMap<String, Option<u32>>) -> Vec<SubscribeRequest> {
        let is_missing = |filter: &&String, identifier| granted.get(*filter) != Some(&identifier);
        let Some(first) = self.first else {
            let missing: Vec<String> =
                self.filters.iter().filter(|filter| is_missing(filter, None)).cloned().collect();
            return pieces(&missing, None);
        };
        let count = self.groups.iter().max().map_or(0, |last| last + 1);
        let group = |group: u32| {
            let members = self.filters.iter().zip(&self.groups).filter(|(_, of)| **of == group);
            let members = members.map(|(filter, _)| filter);
            let missing: Vec<String> =
                members.filter(|filter| is_missing(filter, Some(first + group))).cloned().collect();
            pieces(&missing, Some(first + group))
        };
        (0..count).flat_map(group).collect()
    }

    fn doubled(&self) -> Vec<(String, String)> {
        if self.partial == Some(Partial::Kept) || self.groups.iter().all(|group| *group == 0) {
            return Vec::new();
        }
        let filters: Vec<&String> = self.filters.iter().collect();
        overlapping(&filters).map(|(one, two)| (one.clone(), two.clone())).collect()
    }
}

fn pieces(filters: &[String], identifier: Option<u32>) -> Vec<SubscribeRequest> {
    filters.chunks(PIECE).map(|filters| SubscribeRequest { filters: filters.to_vec(), identifier }).collect()
}

/// Another set has other identifiers, so that a copy which the broker queued under an earlier one is known as such: it is
/// taken, since nothing is known of the others. FNV-1a, which stays the same from version to version.
fn first_identifier(filters: &[String], count: u32) -> u32 {
    let bytes = filters.iter().flat_map(|filter| filter.bytes().chain([0]));
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    1 + hash % (IDENTIFIER_MAX - count - 1)
}

#[cfg(test)]
mod tests;
