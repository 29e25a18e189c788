//! Which stream has which group.
//!
//! A stream's place among the addresses follows from its name, so that it stays the same from one run to the next and on
//! other relays with the same configuration. Where two names mean the same place, the one that comes first in the alphabet
//! has it, and the other takes the next free one.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use sha2::{Digest, Sha256};

use crate::config::{Group, Groups};

/// There is no group to send to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum NoGroup {
    #[error("it is off (the stream's key `multicast`)")]
    Off,
    #[error("{0} has its group")]
    Taken(String),
    #[error("all {0} groups are taken (rtsp.multicast.addresses)")]
    Full(u64),
}

/// The group of the stream `name`, with the port of its first track. `streams` are all there are, by name, and `held` is
/// where something is sent now, by the name of the stream.
pub(super) fn assign<'n>(
    name: &str,
    streams: impl Iterator<Item = (&'n str, Group)> + Clone,
    held: impl Iterator<Item = (&'n str, Ipv4Addr)>,
    groups: &Groups,
) -> Result<SocketAddrV4, NoGroup> {
    let mut taken: HashMap<Ipv4Addr, &str> =
        held.filter(|(holder, _)| *holder != name).map(|(holder, group)| (group, holder)).collect();
    let mine = streams.clone().find(|(stream, _)| *stream == name);
    match mine.map_or(Group::None, |(_, group)| group) {
        Group::None => return Err(NoGroup::Off),
        Group::At(address, port) => {
            let at = SocketAddrV4::new(address, port.unwrap_or(groups.port));
            return taken.get(&address).map_or(Ok(at), |holder| Err(NoGroup::Taken((*holder).to_owned())));
        }
        Group::Any => {}
    }
    let settled: Vec<&str> = taken.values().copied().collect();
    for (stream, group) in streams.clone() {
        if let Group::At(address, _) = group {
            taken.entry(address).or_insert(stream);
        }
    }
    let size = 1 << (32 - u32::from(groups.addresses.prefix_len()));
    let first = u32::from(groups.addresses.network());
    let others = streams.filter(|(stream, group)| *group == Group::Any && !settled.contains(stream));
    for (stream, _) in others {
        let begin = place(stream) % size;
        let address = (0..size)
            .map(|step| Ipv4Addr::from(first + ((begin + step) % size) as u32))
            .find(|address| !taken.contains_key(address));
        match address {
            Some(address) if stream == name => return Ok(SocketAddrV4::new(address, groups.port)),
            Some(address) => drop(taken.insert(address, stream)),
            None => break,
        }
    }
    Err(NoGroup::Full(size))
}

/// Where the search for a stream's group begins: spread evenly, and the same on every machine.
fn place(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const POOL: &str = "239.255.42.0/28";

    fn groups() -> Groups {
        Groups { addresses: POOL.parse().unwrap(), ..Groups::default() }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("cam{number:02}")).collect()
    }

    fn assigned(
        name: &str,
        streams: &[(&str, Group)],
        held: &[(&str, Ipv4Addr)],
    ) -> Result<SocketAddrV4, NoGroup> {
        assign(name, streams.iter().copied(), held.iter().copied(), &groups())
    }

    #[test]
    fn no_two_streams_share_a_group_and_one_more_than_there_are_has_none() {
        let names = names(17);
        let streams: Vec<(&str, Group)> = names.iter().map(|name| (name.as_str(), Group::Any)).collect();
        let all: Vec<_> = names.iter().map(|name| assigned(name, &streams, &[])).collect();
        let distinct: BTreeSet<_> = all.iter().flatten().collect();
        assert_eq!(distinct.len(), 16);
        assert!(distinct.iter().all(|at| groups().addresses.contains(at.ip()) && at.port() == 8002));
        assert_eq!(all[16], Err(NoGroup::Full(16)));
    }

    #[test]
    fn a_group_follows_from_the_name_whatever_else_there_is() {
        let alone = assigned("door", &[("door", Group::Any)], &[]).unwrap();
        let among = [("door", Group::Any), ("garage", Group::None), ("yard", Group::Any)];
        assert_eq!(assigned("door", &among, &[]), Ok(alone));
    }

    #[test]
    fn what_is_sent_stays_where_it_is_and_others_go_around_it() {
        let streams = [("a", Group::Any), ("b", Group::Any)];
        let free = assigned("a", &streams, &[]).unwrap();
        let beside = assigned("a", &streams, &[("b", *free.ip())]).unwrap();
        assert_ne!(free, beside);
        assert_eq!(assigned("a", &streams, &[("a", *free.ip())]), Ok(free));
    }

    #[test]
    fn a_group_of_ones_own_is_kept_free_and_is_not_shared() {
        let any = assigned("a", &[("a", Group::Any)], &[]).unwrap();
        let own = Group::At(*any.ip(), Some(5000));
        let streams = [("a", Group::Any), ("z", own)];
        assert_ne!(assigned("a", &streams, &[]).unwrap().ip(), any.ip());
        assert_eq!(assigned("z", &streams, &[]), Ok(SocketAddrV4::new(*any.ip(), 5000)));
        assert_eq!(assigned("z", &streams, &[("a", *any.ip())]), Err(NoGroup::Taken("a".to_owned())));
        assert_eq!(assigned("gone", &streams, &[]), Err(NoGroup::Off));
    }
}
