//! Sealed segments of the audit log: only their entries may be deleted, and the log continues after them.

use crate::world::{NOW, system};
use domain::time::Span;
use serde_json::json;
use store::database::Columns;
use store::testing::{TestDatabase, raw};
use store::{Attribution, AuditHead, NewAuditEntry, Segment, SegmentEntry, SegmentWalk, Store};

const LATER: Span = Span::minutes(24 * 60);

/// Five old entries and three young ones.
async fn lines(store: &Store) -> Vec<AuditHead> {
    let mut heads = Vec::new();
    for number in 1..=8 {
        let at = if number <= 5 { NOW } else { NOW + LATER };
        let line =
            NewAuditEntry::new(Attribution::TENURE, "member.set", number, json!({ "role": "admin" }), at);
        store.record_audit_entry(&system(), &line).await.unwrap();
        heads.push(store.load_audit_head(&system()).await.unwrap().unwrap());
    }
    heads
}

fn segment(first: i64, head: AuditHead) -> Segment {
    Segment { first, head, file: "audit-1-5.ndjson".into(), digest: [7; 32] }
}

async fn count(db: &TestDatabase) -> i64 {
    db.database.read("SELECT COUNT(*) FROM audit", Vec::new()).await.unwrap().read_one(Columns::int).unwrap()
}

both! {
    async fn only_sealed_entries_can_be_deleted_and_the_chain_continues(db: &TestDatabase) {
        let store = Store::new(db.database.clone());
        let heads = lines(&store).await;
        let before = NOW + Span::minutes(60);
        assert_eq!(store.find_sealable_audit_entry(&system(), before).await.unwrap(), Some(5));
        assert_eq!(store.find_sealable_audit_entry(&system(), NOW).await.unwrap(), None);
        assert_eq!(store.find_sealable_audit_entry(&system(), NOW + LATER + LATER).await.unwrap(), Some(7), "one line stays");
        assert!(!store.delete_sealed_audit_entries(&system()).await.unwrap());
        assert_eq!(count(db).await, 8);
        // A segment must be in the log, without a gap, and not the whole log.
        for wrong in [
            segment(1, AuditHead { hash: [1; 32], ..heads[4] }),
            segment(2, heads[4]),
            segment(6, heads[4]),
            segment(1, AuditHead { sequence: 9, ..heads[7] }),
        ] {
            assert!(store.seal_audit(&system(), &wrong, NOW).await.is_err(), "{wrong:?}");
        }
        assert!(raw(&db.url, "DELETE FROM audit WHERE sequence = 1").await.unwrap_err().contains("sealed"));
        let exported = store.list_audit_segment_entries(&system(), 0, 5, 1000).await.unwrap();
        store.seal_audit(&system(), &segment(1, heads[4]), NOW).await.unwrap();
        assert!(store.seal_audit(&system(), &segment(1, heads[4]), NOW).await.is_err(), "twice");
        // Sealed but not deleted yet: the log is whole.
        assert!(store.verify_audit(&system(), None, None).await.unwrap().is_ok());
        assert!(!store.delete_sealed_audit_entries(&system()).await.unwrap());
        assert_eq!(count(db).await, 4, "three young lines and that of the seal");
        for sql in [
            "DELETE FROM audit WHERE sequence = 6", "UPDATE audit SET thing = 'x' WHERE sequence = 6",
            "DELETE FROM audit_segments", "UPDATE audit_segments SET last_line = 8",
        ] {
            assert!(raw(&db.url, sql).await.is_err(), "{sql}");
        }
        let verify = async |last, against| store.verify_audit(&system(), last, against).await.unwrap();
        assert_eq!(verify(None, None).await.unwrap().entries, 4);
        assert_eq!(verify(Some(1000), None).await.unwrap().entries, 4);
        assert_eq!(verify(Some(2), None).await.unwrap().entries, 2);
        assert!(verify(None, Some(heads[2])).await.unwrap_err().problem.contains("--segments"));
        assert!(verify(None, Some(heads[4])).await.is_ok() && verify(None, Some(heads[6])).await.is_ok());
        assert!(verify(None, Some(AuditHead { hash: [1; 32], ..heads[4] })).await.is_err());
        // The segment leads to the log.
        let walk = |lines: &[SegmentEntry], against| {
            let mut walk = SegmentWalk::new(&lines[0], against);
            lines.iter().try_for_each(|line| walk.take(line)).map(|()| walk)
        };
        let whole = store.verify_audit_after(&system(), walk(&exported, Some(heads[2])).unwrap()).await.unwrap();
        assert_eq!(whole.unwrap().entries, 9);
        let short = store.verify_audit_after(&system(), walk(&exported[..4], None).unwrap()).await.unwrap();
        assert_eq!(short.unwrap_err().sequence, 4);
        let mut holed = exported.clone();
        holed.remove(2);
        assert_eq!(walk(&holed, None).err().unwrap().sequence, 3);
        let wrong = AuditHead { hash: [1; 32], ..heads[2] };
        assert_eq!(walk(&exported, Some(wrong)).err().unwrap().sequence, 3);
        let text = serde_json::to_string(&exported[1]).unwrap();
        let changed: SegmentEntry = serde_json::from_str(&text.replace("admin", "owner")).unwrap();
        assert!(walk(&[exported[0].clone(), changed], None).err().unwrap().problem.contains("was changed"));
        assert_eq!(exported[1], serde_json::from_str(&text).unwrap());
        // And the log continues.
        let line = NewAuditEntry::new(Attribution::TENURE, "member.set", 9, json!({}), NOW + LATER);
        store.record_audit_entry(&system(), &line).await.unwrap();
        assert_eq!(verify(None, None).await.unwrap().head.unwrap().sequence, 10);
    }
}
