"""A day behind the rows that are there, so that the pictures show a site that lives: alerts are copied, each with its
messages and receipts, to earlier hours. Only what has ended is copied, so nothing of it is sent."""

import hashlib
import json
import math
import sqlite3

HOUR = 3_600_000
# How many alerts each of the last 23 hours had: nights are quiet, deliveries come in the morning.
HOURS = [1, 0, 0, 0, 1, 0, 2, 4, 3, 1, 0, 1, 2, 5, 2, 1, 0, 1, 3, 2, 1, 0, 1]


def a_day(path):
    with sqlite3.connect(path) as sql:
        sql.row_factory = sqlite3.Row
        now = sql.execute("SELECT max(raised_at) FROM alert").fetchone()[0]
        alerts = sql.execute("""SELECT * FROM alert a WHERE EXISTS (SELECT 1 FROM message WHERE alert = a.id)
            AND NOT EXISTS (SELECT 1 FROM message WHERE alert = a.id AND state NOT IN ('read', 'delivered'))""").fetchall()
        # Ids are in the order of time, so what is older goes below: the present rows move up first.
        copies = [(now - (len(HOURS) - i) * HOUR + 7 * 60_000 * (n + 1), alerts[(i + n) % len(alerts)])
                  for i, count in enumerate(HOURS) for n in range(count)]
        room = 1_000
        tables = {"event": ["id"], "alert": ["id", "event"], "message": ["id", "alert", "digest"], "sent": ["message"],
                  "attempt": ["message"], "receipt": ["message"], "command": ["alert"]}
        sql.execute("PRAGMA foreign_keys = OFF")
        for table, columns in tables.items():
            for column in columns:
                sql.execute(f"UPDATE {table} SET {column} = -({column} + {room}) WHERE {column} IS NOT NULL")
                sql.execute(f"UPDATE {table} SET {column} = -{column} WHERE {column} IS NOT NULL")
        for number, (at, alert) in enumerate(copies, 1):
            copy(sql, number * 4, at - alert["raised_at"], alert["id"] + room)
        curves(sql)


def curves(sql):
    """Six hours, or a day, before what each number was last; one has a gap."""
    for number, (key, state) in enumerate(sql.execute("SELECT key, state FROM alert_memory WHERE kind = 'curve'").fetchall()):
        curve = json.loads(state)
        until, _, _, _, last = curve["points"][-1]
        step = (HOUR * 6 if "freezer" in key else HOUR * 24) / 96
        calm = min(last, -18)
        for ago in range(1, 92):
            rises = max(0, 10 - ago) / 10 * (last - calm)
            value = round(calm + math.sin(ago / 7 + number) / 2 + rises, 2)
            if number != 1 or not 30 < ago < 50:
                curve["points"].insert(0, [int(until - ago * step), 60_000, value - 0.2, value + 0.3, value])
        state = json.dumps(curve)
        parts = [key.encode(), state.encode()]
        sum = hashlib.sha256(b"".join(len(part).to_bytes(8, "little") + part for part in parts)).digest()[:8]
        sql.execute("UPDATE alert_memory SET state = ?, checksum = ? WHERE kind = 'curve' AND key = ?", [state, sum, key])


def copy(sql, number, shift, alert):
    """Rows get ids from `number` on; an alert has at most three messages here."""
    def again(table, where, value, **changes):
        rows = sql.execute(f"SELECT * FROM {table} WHERE {where} = ?", [value]).fetchall()
        for place, row in enumerate(rows):
            new = dict(row)
            for name in new:
                if new[name] is not None and (name == "at" or name.endswith("_at")):
                    new[name] += shift
            new |= {name: change(place, row) if callable(change) else change for name, change in changes.items()}
            marks = ", ".join("?" * len(new))
            sql.execute(f"INSERT INTO {table} ({', '.join(new)}) VALUES ({marks})", list(new.values()))
        return rows

    event = sql.execute("SELECT event FROM alert WHERE id = ?", [alert]).fetchone()[0]
    again("event", "id", event, id=number)
    again("alert", "id", alert, id=number, event=number, state=lambda _, row: row["state"] and "resolved",
          key=lambda _, row: row["key"] and f"{row['key']} {number}")
    for place, row in enumerate(again("message", "alert", alert, id=lambda place, _: number + place, alert=number)):
        again("sent", "message", row["id"], message=number + place, wamid=lambda n, _: f"wamid.old.{number + place}.{n}")
        again("attempt", "message", row["id"], message=number + place)
        again("receipt", "message", row["id"], message=number + place, wamid=f"wamid.old.{number + place}.0")
