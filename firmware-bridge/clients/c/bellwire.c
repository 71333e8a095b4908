/* See bellwire.h. The sections are those of docs/device-protocol.md. */
#include "bellwire.h"

#include <string.h>

#if BW_BUFFER_BYTES < 192
#error "BW_BUFFER_BYTES must be 192 or more: a hello and a result must fit"
#endif

#define BOOT_MAX UINT32_C(0xfffffffe)
#define NO_BASE UINT32_C(0xffffffff)
#define FIRST_MS 1000u /* a serial round trip with its commit is below 200 ms, an MQTT one below a second */
#define DOUBLINGS_MAX 6u
#define HELLO_EVERY_MS 60000u
#define REJOINS_MAX 3u /* reconnections in a minute that bring a hello at once */
#define REJOIN_PAUSE_MS 5000u
#define CALM_MS 600000u /* without a new number; then the next one is taken at once */
#define ROUND_TRIP_MAX_MS 10000u /* a welcome that took longer says too little about the time */
#define DRIFT 128u /* a device's clock may be wrong by half of one part in this many */
#define AHEAD_MAX_MS 60000u
#define OLD_HELLOS_MAX 20u /* under the name before, without an answer; then its events go under the new one */
#define AT_MAX_BYTES 17u /* `at_ms`: name 1 + 5, type 1, value 10 */
#define HEAD_MAX_BYTES (12u + BW_DEVICE_MAX) /* version 1, device 1 + 32, boot 5, sequence 5 */
#define UPTIME (UINT64_C(1) << 63) /* marks a moment of our own clock; the gateway's never comes so far */
#define LAYOUT 1u /* of the memory */
#define HALF (BW_HEADER_BYTES / 2)

enum { ORDER_NONE, ORDER_WAITS, ORDER_ACTING, ORDER_ANSWERED };

/* --- 2. values --- */

typedef struct {
  uint8_t *at;
  size_t room, length; /* length > room: it did not fit */
} writer;

typedef struct {
  const uint8_t *at;
  size_t left;
  bool bad;
} reader;

static void put_byte(writer *to, uint8_t byte) {
  if (to->length < to->room) to->at[to->length] = byte;
  to->length++;
}

static void put_bytes(writer *to, const void *bytes, size_t length) {
  size_t i;
  for (i = 0; i < length; i++) put_byte(to, ((const uint8_t *)bytes)[i]);
}

static void put_varint(writer *to, uint64_t number) {
  while (number > 0x7f) {
    put_byte(to, (uint8_t)(0x80u | (number & 0x7fu)));
    number >>= 7;
  }
  put_byte(to, (uint8_t)number);
}

static void put_text(writer *to, const char *text) {
  size_t length = strlen(text);
  put_varint(to, length);
  put_bytes(to, text, length);
}

static uint8_t take_byte(reader *from) {
  if (from->left == 0) {
    from->bad = true;
    return 0;
  }
  from->left--;
  return *from->at++;
}

static uint64_t take_varint(reader *from, unsigned bits) {
  uint64_t number = 0;
  unsigned shift = 0;
  for (;;) {
    uint8_t byte = take_byte(from);
    uint64_t part = byte & 0x7fu;
    if (from->bad) return 0;
    if (shift >= bits || (shift + 7 > bits && (part >> (bits - shift)) != 0)) break; /* more bits than its type */
    number |= part << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift > 0) break; /* longer than it can be */
      return number;
    }
    shift += 7;
  }
  from->bad = true;
  return 0;
}

static uint32_t take_u32(reader *from) { return (uint32_t)take_varint(from, 32); }

/* Copies at most `most` bytes and gives their number. */
static uint8_t take_bytes(reader *from, void *to, uint8_t most) {
  uint64_t length = take_varint(from, 32);
  if (from->bad || length > most || length > from->left) {
    from->bad = true;
    return 0;
  }
  memcpy(to, from->at, (size_t)length);
  from->at += length;
  from->left -= (size_t)length;
  return (uint8_t)length;
}

static bool is_utf8(const char *text, size_t length) {
  const uint8_t *at = (const uint8_t *)text;
  size_t i = 0;
  while (i < length) {
    uint8_t first = at[i++];
    unsigned more = first < 0x80 ? 0u : first < 0xc2 ? 4u : first < 0xe0 ? 1u : first < 0xf0 ? 2u : first < 0xf5 ? 3u : 4u;
    if (more == 4 || more > length - i) return false;
    if (more == 2 && ((first == 0xe0 && at[i] < 0xa0) || (first == 0xed && at[i] > 0x9f))) return false;
    if (more == 3 && ((first == 0xf0 && at[i] < 0x90) || (first == 0xf4 && at[i] > 0x8f))) return false;
    for (; more > 0; more--, i++)
      if ((at[i] & 0xc0) != 0x80) return false;
  }
  return true;
}

static bool is_text(const char *text, size_t most) {
  size_t length = text == NULL ? SIZE_MAX : strlen(text);
  return length <= most && is_utf8(text, length);
}

static bool is_device(const char *name) {
  const char *at = name;
  if (name == NULL || *name == 0) return false;
  for (; *at != 0; at++)
    if (*at < '!' || *at > '~' || *at == '/' || *at == '+' || *at == '#') return false;
  return (size_t)(at - name) <= BW_DEVICE_MAX;
}

static int compare(bw_position a, bw_position b) {
  if (a.boot != b.boot) return a.boot < b.boot ? -1 : 1;
  return a.sequence == b.sequence ? 0 : a.sequence < b.sequence ? -1 : 1;
}

static bool follows(bw_position b, bw_position a) {
  if (b.boot == a.boot) return b.sequence > 0 && b.sequence - 1 == a.sequence;
  return b.boot > a.boot && b.sequence == 1;
}

static bool is_counted(bw_position at) {
  return at.boot == 0 ? at.sequence == 0 : at.boot <= BOOT_MAX;
}

/* --- 2. messages --- */

/* Whether the gateway takes an event with these fields. */
static bool are_possible(const bw_field *fields, size_t count) {
  size_t i, j;
  for (i = 0; i < count; i++) {
    const bw_field *field = &fields[i];
    if (!is_text(field->name, BW_NAME_MAX) || *field->name == 0 || (unsigned)field->type > BW_TEXT) return false;
    if (strcmp(field->name, "device") == 0 || strcmp(field->name, "boot") == 0 || strcmp(field->name, "sequence") == 0)
      return false;
    for (j = 0; j < i; j++)
      if (strcmp(field->name, fields[j].name) == 0) return false;
    if (field->type == BW_TEXT && !is_text(field->value.text, BW_TEXT_MAX)) return false;
    if (field->type == BW_INTEGER && field->value.integer < 0 && strcmp(field->name, "at_ms") == 0) return false;
    if (field->type == BW_FLOAT) {
      uint32_t bits;
      memcpy(&bits, &field->value.number, sizeof bits);
      if ((bits & UINT32_C(0x7f800000)) == UINT32_C(0x7f800000)) return false; /* infinite, or no number */
    }
  }
  return true;
}

static void put_integer(writer *to, const char *name, int64_t value) {
  put_text(to, name);
  put_byte(to, BW_INTEGER);
  put_varint(to, value < 0 ? ~((uint64_t)value << 1) : (uint64_t)value << 1);
}

static void put_fields(writer *to, const bw_field *fields, size_t count) {
  size_t i;
  put_varint(to, count);
  for (i = 0; i < count; i++) {
    const bw_field *field = &fields[i];
    uint32_t bits;
    if (field->type == BW_INTEGER) {
      put_integer(to, field->name, field->value.integer);
      continue;
    }
    put_text(to, field->name);
    put_byte(to, (uint8_t)field->type);
    if (field->type == BW_BOOL) put_byte(to, field->value.boolean ? 1 : 0);
    if (field->type == BW_TEXT) put_text(to, field->value.text);
    if (field->type == BW_FLOAT) {
      unsigned shift;
      memcpy(&bits, &field->value.number, sizeof bits);
      for (shift = 0; shift < 32; shift += 8) put_byte(to, (uint8_t)(bits >> shift));
    }
  }
}

static void put_event_head(writer *to, const char *device, bw_position at) {
  put_byte(to, BW_VERSION);
  put_text(to, device);
  put_varint(to, at.boot);
  put_varint(to, at.sequence);
}

static size_t written(const writer *to) { return to->length <= to->room ? to->length : 0; }

size_t bw_encode_event(uint8_t *out, size_t room, const char *device, bw_position at, const bw_field *fields, size_t count) {
  writer to = {out, room, 0};
  if (!is_device(device) || at.boot == 0 || at.boot > BOOT_MAX || at.sequence == 0) return 0;
  if (count > BW_FIELDS_MAX || !are_possible(fields, count)) return 0;
  put_event_head(&to, device, at);
  put_fields(&to, fields, count);
  return written(&to);
}

static bool is_named(const bw_config *device) {
  size_t i;
  if (!is_device(device->device) || !is_text(device->firmware, BW_NAME_MAX)) return false;
  for (i = 0; i < device->command_count; i++)
    if (i == BW_COMMANDS_MAX || !is_text(device->commands[i], BW_NAME_MAX)) return false;
  return true;
}

size_t bw_encode_hello(uint8_t *out, size_t room, const bw_config *device, uint32_t boot, uint32_t token, bw_position oldest,
                       uint32_t queued, uint32_t refused) {
  writer to = {out, room, 0};
  size_t i;
  if (!is_named(device) || boot > BOOT_MAX) return 0;
  if (!(oldest.boot == 0 && oldest.sequence == 0) && (oldest.boot == 0 || oldest.boot > boot || oldest.sequence == 0)) return 0;
  put_byte(&to, BW_VERSION);
  put_text(&to, device->device);
  put_varint(&to, boot);
  put_varint(&to, token);
  put_varint(&to, oldest.boot);
  put_varint(&to, oldest.sequence);
  put_varint(&to, queued);
  put_varint(&to, refused);
  put_text(&to, device->firmware);
  put_varint(&to, device->command_count);
  for (i = 0; i < device->command_count; i++) put_text(&to, device->commands[i]);
  return written(&to);
}

size_t bw_encode_result(uint8_t *out, size_t room, const char *device, uint32_t boot, uint64_t id, bw_outcome outcome,
                        const char *detail) {
  writer to = {out, room, 0};
  if (!is_device(device) || boot == 0 || boot > BOOT_MAX || id == 0 || !is_text(detail, BW_TEXT_MAX)) return 0;
  put_byte(&to, BW_VERSION);
  put_text(&to, device);
  put_varint(&to, boot);
  put_varint(&to, id);
  put_varint(&to, (uint64_t)outcome);
  put_text(&to, detail);
  return written(&to);
}

static reader open_message(const uint8_t *bytes, size_t length) {
  reader from = {bytes, length, false};
  if (take_byte(&from) != BW_VERSION) from.bad = true;
  return from;
}

static bw_position take_position(reader *from) {
  bw_position at;
  at.boot = take_u32(from);
  at.sequence = take_u32(from);
  return at;
}

bool bw_decode_welcome(const uint8_t *bytes, size_t length, bw_welcome *welcome) {
  reader from = open_message(bytes, length);
  welcome->token = take_u32(&from);
  welcome->boot = take_u32(&from);
  welcome->counted = take_position(&from);
  welcome->unix_ms = take_varint(&from, 64);
  if (from.bad || from.left > 0) return false;
  return welcome->boot <= BOOT_MAX && is_counted(welcome->counted) && welcome->counted.boot <= welcome->boot;
}

bool bw_decode_ack(const uint8_t *bytes, size_t length, bw_position *counted) {
  reader from = open_message(bytes, length);
  *counted = take_position(&from);
  return !from.bad && from.left == 0 && is_counted(*counted);
}

bool bw_decode_command(const uint8_t *bytes, size_t length, bw_command *command) {
  reader from = open_message(bytes, length);
  uint8_t name;
  command->boot = take_u32(&from);
  command->id = take_varint(&from, 64);
  command->expires_at_ms = take_varint(&from, 64);
  name = take_bytes(&from, command->name, BW_NAME_MAX);
  command->name[name] = 0;
  command->payload_length = take_bytes(&from, command->payload, BW_PAYLOAD_MAX);
  command->payload[command->payload_length] = 0;
  if (from.bad || from.left > 0 || name == 0 || strlen(command->name) != name || !is_utf8(command->name, name)) return false;
  return command->boot != 0 && command->boot <= BOOT_MAX && command->id != 0;
}

/* --- 3. the line --- */

static uint32_t crc32_more(uint32_t crc, uint8_t byte) {
  unsigned bit;
  crc ^= byte;
  for (bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (UINT32_C(0xedb88320) & (0u - (crc & 1u)));
  return crc;
}

static uint32_t crc32_of(const uint8_t *bytes, size_t length) {
  uint32_t crc = UINT32_C(0xffffffff);
  size_t i;
  for (i = 0; i < length; i++) crc = crc32_more(crc, bytes[i]);
  return ~crc;
}

/* The byte at `i` of kind, message, CRC. */
static uint8_t body_at(uint8_t kind, const uint8_t *bytes, size_t length, uint32_t crc, size_t i) {
  if (i == 0) return kind;
  if (i <= length) return bytes[i - 1];
  return (uint8_t)(crc >> (8 * (i - length - 1)));
}

void bw_serial_frame(uint8_t kind, const uint8_t *bytes, size_t length, void (*put)(void *context, uint8_t byte),
                     void *context) {
  const size_t total = length + 5;
  uint32_t crc = crc32_more(UINT32_C(0xffffffff), kind);
  size_t i;
  bool is_open = true;
  for (i = 0; i < length; i++) crc = crc32_more(crc, bytes[i]);
  crc = ~crc;
  put(context, 0);
  for (i = 0; is_open;) {
    size_t run = 0, j;
    while (run < 254 && i + run < total && body_at(kind, bytes, length, crc, i + run) != 0) run++;
    put(context, (uint8_t)(run + 1));
    for (j = 0; j < run; j++) put(context, body_at(kind, bytes, length, crc, i + j));
    i += run;
    is_open = i < total;              /* else the data ended without a zero */
    if (is_open && run < 254) i++;    /* the zero itself; one at the end still needs its empty run */
  }
  put(context, 0);
}

static void decoded(bw_decoder *decoder, uint8_t byte) {
  if (decoder->length < sizeof decoder->bytes)
    decoder->bytes[decoder->length++] = byte;
  else
    decoder->bad = true;
}

bool bw_decode_frame(bw_decoder *decoder, uint8_t byte, bw_message *found, bool *damaged) {
  bool is_frame = false;
  *damaged = false;
  if (byte != 0) {
    if (decoder->left > 0) {
      decoded(decoder, byte);
      decoder->left--;
    } else {
      if (decoder->inside && decoder->code != 0xff) decoded(decoder, 0);
      decoder->inside = true;
      decoder->code = byte;
      decoder->left = (uint8_t)(byte - 1);
    }
    return false;
  }
  if (decoder->inside) {
    if (!decoder->bad && decoder->left == 0 && decoder->length >= 5) {
      const uint8_t *end = &decoder->bytes[decoder->length - 4];
      uint32_t crc = crc32_of(decoder->bytes, (size_t)decoder->length - 4u);
      is_frame = end[0] == (uint8_t)crc && end[1] == (uint8_t)(crc >> 8) && end[2] == (uint8_t)(crc >> 16) &&
                 end[3] == (uint8_t)(crc >> 24);
    }
    *damaged = !is_frame;
    found->kind = decoder->bytes[0];
    found->bytes = &decoder->bytes[1];
    found->length = is_frame ? (size_t)decoder->length - 5u : 0;
  }
  decoder->length = decoder->code = decoder->left = 0;
  decoder->inside = decoder->bad = false;
  return is_frame;
}

static void count(uint32_t *counter) {
  if (*counter < UINT32_MAX) (*counter)++;
}

void bw_serial_arrived(bw_client *client, bw_decoder *decoder, uint8_t byte, uint64_t now_ms) {
  bw_message found;
  bool damaged;
  if (bw_decode_frame(decoder, byte, &found, &damaged)) bw_receive(client, found.kind, found.bytes, found.length, now_ms);
  if (damaged) count(&client->counters.damaged);
}

static const struct {
  uint8_t kind;
  char level[8];
} levels[] = {{BW_HELLO, "hello"}, {BW_EVENT, "event"},     {BW_RESULT, "result"},        {BW_WELCOME, "welcome"},
              {BW_ACK, "ack"},     {BW_COMMAND, "command"}, {BW_VERSION_ONLY, "version"}};

static const uint8_t to_device[] = {BW_WELCOME, BW_ACK, BW_COMMAND, BW_VERSION_ONLY};

static void put_topic(const char *name, uint8_t kind, char topic[BW_TOPIC_MAX]) {
  size_t i;
  strcpy(topic, "bellwire/device/");
  strcat(topic, name); /* at most BW_DEVICE_MAX */
  strcat(topic, "/");
  for (i = 0; i < sizeof levels / sizeof *levels; i++)
    if (levels[i].kind == kind) strcat(topic, levels[i].level);
}

void bw_mqtt_topic(const bw_client *client, uint8_t kind, char topic[BW_TOPIC_MAX]) {
  put_topic(client->kept.name, kind, topic);
}

bool bw_mqtt_filter(const bw_client *client, uint8_t index, char topic[BW_TOPIC_MAX]) {
  const bool is_other = strcmp(client->kept.name, client->config.device) != 0;
  if (index >= (is_other ? 8 : 4)) return false;
  put_topic(index < 4 ? client->config.device : client->kept.name, to_device[index % 4], topic);
  return true;
}

uint8_t bw_mqtt_qos(uint8_t kind) { return kind == BW_EVENT || kind == BW_ACK ? 0 : 1; }

void bw_mqtt_arrived(bw_client *client, const char *topic, size_t topic_length, const uint8_t *payload, size_t length,
                     uint64_t now_ms) {
  char own[BW_TOPIC_MAX];
  size_t i;
  for (i = 0; i < sizeof to_device; i++) {
    bw_mqtt_topic(client, to_device[i], own);
    if (strlen(own) == topic_length && memcmp(own, topic, topic_length) == 0) {
      bw_receive(client, to_device[i], payload, length, now_ms);
      return;
    }
  }
}

/* --- what is kept: two headers by turns, each with a checksum, then a ring of events --- */

static uint32_t read_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void write_u32(uint8_t *at, uint32_t value) {
  unsigned i;
  for (i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static size_t ring_bytes(const bw_client *client) { return client->config.memory_length - BW_HEADER_BYTES; }

static bool save(bw_client *client, size_t offset, size_t length) {
  const bw_config *config = &client->config;
  return config->save == NULL || config->save(config->context, offset, config->memory + offset, length);
}

static bool save_numbers(bw_client *client) {
  uint8_t *at;
  size_t offset;
  client->kept.generation++;
  offset = (client->kept.generation & 1u) * (size_t)HALF;
  at = client->config.memory + offset;
  write_u32(at, client->kept.generation);
  write_u32(at + 4, client->kept.starts);
  write_u32(at + 8, client->kept.base);
  write_u32(at + 12, client->kept.head);
  write_u32(at + 16, client->kept.used);
  write_u32(at + 20, client->kept.count);
  write_u32(at + 24, client->kept.identity | LAYOUT << 16);
  memset(at + 28, 0, BW_DEVICE_MAX);
  memcpy(at + 28, client->kept.name, strlen(client->kept.name));
  write_u32(at + HALF - 4, crc32_of(at, HALF - 4));
  return save(client, offset, HALF);
}

static uint8_t ring_at(const bw_client *client, size_t offset) {
  return client->config.memory[BW_HEADER_BYTES + (client->kept.head + offset) % ring_bytes(client)];
}

static uint32_t ring_u32(const bw_client *client, size_t offset) {
  uint8_t bytes[4];
  size_t i;
  for (i = 0; i < 4; i++) bytes[i] = ring_at(client, offset + i);
  return read_u32(bytes);
}

static size_t record_length(const bw_client *client, size_t offset) {
  return (size_t)ring_at(client, offset) + ((size_t)ring_at(client, offset + 1) << 8);
}

static bw_position record_at(const bw_client *client, size_t offset) {
  bw_position at;
  at.boot = ring_u32(client, offset + 2);
  at.sequence = ring_u32(client, offset + 6);
  return at;
}

/* A record is length 2, starts 4, sequence 4, moment 8, checksum 4, fields. */
static uint32_t record_crc(const bw_client *client, size_t offset, size_t length) {
  uint32_t crc = UINT32_C(0xffffffff);
  size_t i;
  for (i = 0; i < 18; i++) crc = crc32_more(crc, ring_at(client, offset + i));
  for (i = 0; i < length; i++) crc = crc32_more(crc, ring_at(client, offset + BW_RECORD_BYTES + i));
  return ~crc;
}

static size_t record_offset(const bw_client *client, uint32_t index) {
  size_t offset = 0;
  for (; index > 0; index--) offset += record_length(client, offset) + BW_RECORD_BYTES;
  return offset;
}

static bool read_half(bw_client *client, size_t half) {
  const uint8_t *at = client->config.memory + half * HALF;
  if (read_u32(at + HALF - 4) != crc32_of(at, HALF - 4) || read_u32(at + 24) >> 16 != LAYOUT) return false;
  client->kept.generation = read_u32(at);
  client->kept.starts = read_u32(at + 4);
  client->kept.base = read_u32(at + 8);
  client->kept.head = read_u32(at + 12);
  client->kept.used = read_u32(at + 16);
  client->kept.count = read_u32(at + 20);
  client->kept.identity = (uint16_t)read_u32(at + 24);
  memcpy(client->kept.name, at + 28, BW_DEVICE_MAX);
  return is_device(client->kept.name) && client->kept.head < ring_bytes(client) && client->kept.used <= ring_bytes(client);
}

/* Takes over what the starts before left, as far as it is whole. */
static void restore(bw_client *client) {
  bool is_first, is_second;
  uint32_t first, index;
  size_t offset = 0;
  is_first = client->config.save != NULL && read_half(client, 0);
  first = client->kept.generation;
  is_second = client->config.save != NULL && read_half(client, 1);
  if (is_first && (!is_second || first - client->kept.generation < UINT32_C(0x80000000))) (void)read_half(client, 0);
  if (!is_first && !is_second) {
    memset(&client->kept, 0, sizeof client->kept);
    client->kept.base = NO_BASE;
    client->kept.identity = (uint16_t)(client->config.seed >> 16);
    strcpy(client->kept.name, client->config.device);
  }
  for (index = 0; index < client->kept.count; index++) {
    size_t length = record_length(client, offset);
    bool is_whole = offset + BW_RECORD_BYTES + length <= client->kept.used;
    if (!is_whole || record_crc(client, offset, length) != ring_u32(client, offset + 18)) {
      count(&client->counters.storage_failed);
      break;
    }
    offset += length + BW_RECORD_BYTES;
  }
  client->kept.count = index;
  client->kept.used = (uint32_t)offset;
}

/* Appends what `to` wrote into `out` from `from` on. */
static bw_status push(bw_client *client, uint64_t moment, const uint8_t *fields, size_t length) {
  uint8_t head[BW_RECORD_BYTES];
  const size_t need = length + BW_RECORD_BYTES, start = client->kept.used;
  size_t i, first, offset;
  if (need > ring_bytes(client) || length > 0xffff) return BW_TOO_LARGE;
  if (need > ring_bytes(client) - start) return BW_FULL;
  head[0] = (uint8_t)length;
  head[1] = (uint8_t)(length >> 8);
  write_u32(head + 2, client->kept.starts);
  write_u32(head + 6, client->sequence + 1);
  write_u32(head + 10, (uint32_t)moment);
  write_u32(head + 14, (uint32_t)(moment >> 32));
  memset(head + 18, 0, 4);
  for (i = 0; i < need; i++)
    client->config.memory[BW_HEADER_BYTES + (client->kept.head + start + i) % ring_bytes(client)] =
        i < BW_RECORD_BYTES ? head[i] : fields[i - BW_RECORD_BYTES];
  write_u32(head, record_crc(client, start, length));
  for (i = 0; i < 4; i++)
    client->config.memory[BW_HEADER_BYTES + (client->kept.head + start + 18 + i) % ring_bytes(client)] = head[i];
  offset = (client->kept.head + start) % ring_bytes(client);
  first = ring_bytes(client) - offset < need ? ring_bytes(client) - offset : need;
  if (!save(client, BW_HEADER_BYTES + offset, first)) return BW_STORAGE;
  if (first < need && !save(client, BW_HEADER_BYTES, need - first)) return BW_STORAGE;
  client->kept.used += (uint32_t)need;
  client->kept.count++;
  if (save_numbers(client)) return BW_OK;
  client->kept.used -= (uint32_t)need;
  client->kept.count--;
  client->kept.generation--;
  return BW_STORAGE;
}

/* False: it could not be written, and they stay: what is written over them would be missing after a power cut. */
static bool pop(bw_client *client, uint32_t records) {
  const size_t gone = record_offset(client, records);
  const uint32_t head = client->kept.head;
  client->kept.head = (uint32_t)((head + gone) % ring_bytes(client));
  client->kept.used -= (uint32_t)gone;
  client->kept.count -= records;
  if (save_numbers(client)) return true;
  client->kept.generation--;
  client->kept.head = head;
  client->kept.used += (uint32_t)gone;
  client->kept.count += records;
  count(&client->counters.storage_failed);
  return false;
}

/* --- 4. time and waiting --- */

static uint64_t add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
static uint64_t minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

/* Marsaglia's xorshift (2003): good enough to spread devices, and nothing else. */
static void tried(bw_client *client, bw_retry *retry, uint64_t now_ms) {
  const uint64_t wait = (uint64_t)FIRST_MS << retry->tries;
  if (retry->tries < DOUBLINGS_MAX) retry->tries++;
  if (client->dice == 0) client->dice = 1;
  client->dice ^= client->dice << 13;
  client->dice ^= client->dice >> 17;
  client->dice ^= client->dice << 5;
  retry->due = now_ms + wait + ((wait / 4 * (client->dice >> 16)) >> 16);
}

static void wait_until(bw_retry *retry, uint64_t due) {
  retry->due = due;
  retry->tries = 0;
}

/* The best guess: the welcome was written half way between the hello and its arrival. */
static uint64_t guess(const bw_client *client, uint64_t at_ms) {
  uint64_t written_at = client->clock_asked_at + (client->clock_heard_at - client->clock_asked_at) / 2;
  return minus(add(client->unix_ms, minus(at_ms, written_at)), minus(written_at, at_ms));
}

/* The gateway's clock does not show more than this. */
static uint64_t latest(const bw_client *client, uint64_t now_ms) {
  uint64_t since = minus(now_ms, client->clock_asked_at);
  return add(client->unix_ms, add(since, since / DRIFT));
}

static uint32_t boot_above(const bw_client *client, uint32_t base) {
  return base == NO_BASE || base > BOOT_MAX - client->kept.starts ? 0 : base + client->kept.starts;
}

uint32_t bw_boot(const bw_client *client) { return boot_above(client, client->kept.base); }
const char *bw_name(const bw_client *client) { return client->kept.name; }
bool bw_is_welcomed(const bw_client *client) { return client->welcomed; }
uint32_t bw_queued(const bw_client *client) { return client->kept.count; }

uint64_t bw_unix_ms(const bw_client *client, uint64_t now_ms) { return client->has_clock ? guess(client, now_ms) : 0; }

static bw_position on_wire(const bw_client *client, bw_position kept) {
  bw_position at = {0, 0};
  if (client->kept.base == NO_BASE) return at;
  at.boot = kept.boot + client->kept.base;
  at.sequence = kept.sequence;
  return at;
}

/* --- 4. what a device does --- */

/* Goes on under its own name if nothing is kept that may have been counted under the one before. */
static void settle_name(bw_client *client, uint64_t now_ms) {
  static const bw_position none = {0, 0};
  char before[BW_DEVICE_MAX + 1];
  if (strcmp(client->kept.name, client->config.device) == 0) return;
  if (client->old_hellos < OLD_HELLOS_MAX) {
    if (client->kept.count > 0 && record_at(client, 0).boot < client->kept.starts) return;
    if (client->reach.boot != 0 && client->reach.boot == bw_boot(client)) return;
  }
  strcpy(before, client->kept.name);
  strcpy(client->kept.name, client->config.device);
  if (!save_numbers(client)) {
    client->kept.generation--;
    strcpy(client->kept.name, before);
    count(&client->counters.storage_failed); /* the next hello, or the next event that is let go of, leads here again */
    return;
  }
  /* To the gateway it is another device, which has said nothing yet. */
  client->welcomed = client->was_welcomed = client->asked = false;
  client->counted = client->reach = none;
  client->sent = client->repeated_below = 0;
  wait_until(&client->hello, now_ms);
}

bw_status bw_start(bw_client *client, const bw_config *config) {
  static const bw_position longest = {BOOT_MAX, UINT32_MAX};
  bw_config named;
  unsigned turn;
  memset(client, 0, sizeof *client);
  client->config = *config;
  if (!is_named(config)) return BW_MALFORMED;
  if (config->memory == NULL || config->memory_length < BW_HEADER_BYTES + BW_RECORD_BYTES + 1) return BW_TOO_LARGE;
  restore(client);
  named = client->config;
  for (turn = 0; turn < 2; turn++, named.device = client->kept.name)
    if (bw_encode_hello(client->out, sizeof client->out, &named, BOOT_MAX, UINT32_MAX, longest, UINT32_MAX, UINT32_MAX) == 0)
      return BW_TOO_LARGE;
  client->kept.starts++;
  if (!save_numbers(client)) return BW_STORAGE;
  settle_name(client, 0);
  client->token = (uint32_t)client->kept.identity << 16;
  if (config->save == NULL) client->token = config->seed & UINT32_C(0xffff0000);
  if (config->unique_id != NULL)
    client->token = crc32_of(config->unique_id, config->unique_id_length) & UINT32_C(0xffff0000);
  client->token |= config->seed & UINT32_C(0xffff);
  client->dice = config->seed;
  return BW_OK;
}

bw_status bw_event(bw_client *client, const bw_field *fields, size_t field_count, uint64_t now_ms) {
  writer to = {client->out, sizeof client->out - HEAD_MAX_BYTES - AT_MAX_BYTES, 0};
  uint64_t moment = client->has_clock ? guess(client, now_ms) : now_ms | UPTIME;
  bw_status status = BW_OK;
  size_t i;
  if (field_count > BW_FIELDS_MAX) {
    status = BW_TOO_LARGE;
  } else if (!are_possible(fields, field_count)) {
    status = BW_MALFORMED;
  } else {
    if (field_count == BW_FIELDS_MAX) moment = 0; /* no room to say when */
    for (i = 0; i < field_count; i++)
      if (strcmp(fields[i].name, "at_ms") == 0) {
        moment = 0;
        if (client->has_clock && fields[i].type == BW_INTEGER &&
            (uint64_t)fields[i].value.integer > add(latest(client, now_ms), AHEAD_MAX_MS))
          status = BW_MALFORMED;
      }
    put_fields(&to, fields, field_count);
    if (status == BW_OK && written(&to) == 0) status = BW_TOO_LARGE;
    if (status == BW_OK && client->sequence == UINT32_MAX) status = BW_STORAGE;
    if (status == BW_OK) status = push(client, moment, client->out, to.length);
  }
  switch (status) {
    case BW_OK:
      client->sequence++;
      client->more = true;
      count(&client->counters.accepted);
      break;
    case BW_FULL: count(&client->counters.refused_full); break;
    case BW_TOO_LARGE: count(&client->counters.refused_too_large); break;
    case BW_MALFORMED: count(&client->counters.refused_malformed); break;
    case BW_STORAGE: count(&client->counters.storage_failed); break;
  }
  return status;
}

void bw_connected(bw_client *client) {
  uint64_t from = client->rejoins >= REJOINS_MAX ? client->again_from : client->renumber_from;
  if (client->rejoins < UINT8_MAX) client->rejoins++;
  if (client->hello.due > from) client->hello.due = from;
  wait_until(&client->events, 0);
}

static size_t say_hello(bw_client *client, uint64_t now_ms) {
  const bw_counters *all = &client->counters;
  bw_position oldest = {0, 0};
  bw_config named = client->config;
  settle_name(client, now_ms);
  if (strcmp(client->kept.name, client->config.device) != 0) client->old_hellos++;
  named.device = client->kept.name;
  tried(client, &client->hello, now_ms);
  if (now_ms >= client->again_from + HELLO_EVERY_MS - 2 * REJOIN_PAUSE_MS) client->rejoins = 0;
  client->again_from = now_ms + REJOIN_PAUSE_MS;
  client->token = (client->token & UINT32_C(0xffff0000)) | ((client->token + 1) & UINT32_C(0xffff));
  client->asked = true;
  client->asked_at = now_ms;
  if (client->kept.count > 0) oldest = on_wire(client, record_at(client, 0));
  return bw_encode_hello(client->out, sizeof client->out, &named, bw_boot(client), client->token, oldest,
                         client->kept.count,
                         all->refused_full + all->refused_too_large + all->refused_malformed + all->storage_failed);
}

/* The event at `offset` of the ring as a message. */
static size_t event_message(bw_client *client, size_t offset, bw_position kept, bw_position at) {
  const size_t length = record_length(client, offset);
  const uint64_t moment = ring_u32(client, offset + 10) | (uint64_t)ring_u32(client, offset + 14) << 32;
  writer to = {client->out, sizeof client->out, 0};
  size_t fields, i;
  uint64_t at_ms = moment;
  put_event_head(&to, client->kept.name, at);
  fields = to.length;
  for (i = 0; i < length; i++) put_byte(&to, ring_at(client, offset + BW_RECORD_BYTES + i));
  if ((moment & UPTIME) != 0) {
    bool is_own = kept.boot == client->kept.starts && client->has_clock;
    at_ms = is_own ? guess(client, moment & ~UPTIME) : 0;
  }
  if (at_ms != 0 && fields < to.room) {
    put_integer(&to, "at_ms", (int64_t)at_ms);
    client->out[fields]++; /* their number is one byte */
  }
  return written(&to);
}

static size_t say_event(bw_client *client, uint64_t now_ms) {
  bw_position kept, at;
  size_t offset, length;
  if (now_ms >= client->events.due) {
    if (client->repeated_below < client->sent) client->repeated_below = client->sent;
    client->sent = 0;
    client->more = true;
  }
  if (!client->more || client->sent >= BW_WINDOW || client->sent >= client->kept.count) {
    client->more = false;
    return 0;
  }
  offset = record_offset(client, client->sent);
  kept = record_at(client, offset);
  at = on_wire(client, kept);
  if (client->sent == 0) {
    tried(client, &client->events, now_ms);
    if (compare(at, client->counted) > 0 && !follows(at, client->counted)) {
      client->more = false; /* one side lost something: the hello says from where on */
      client->hello.due = now_ms;
      return 0;
    }
  } else if (at.boot != client->last_sent.boot || !follows(at, client->last_sent)) {
    client->more = false; /* the next start's events go when this one's are acknowledged */
    return 0;
  }
  length = event_message(client, offset, kept, at);
  if (length == 0) { /* kept by firmware with a larger buffer */
    client->more = false;
    count(&client->counters.storage_failed);
    return 0;
  }
  if (client->sent < client->repeated_below) count(&client->counters.repeated);
  client->last_sent = at;
  if (compare(at, client->reach) > 0) client->reach = at;
  client->sent++;
  return length;
}

bool bw_poll(bw_client *client, uint64_t now_ms, bw_message *out) {
  out->bytes = client->out;
  if (now_ms >= client->hello.due) {
    out->kind = BW_HELLO;
    out->length = say_hello(client, now_ms);
  } else if (!client->welcomed) {
    return false;
  } else if (client->say_result) {
    client->say_result = false;
    out->kind = BW_RESULT;
    out->length = bw_encode_result(client->out, sizeof client->out, client->kept.name, bw_boot(client),
                                   client->last_command, (bw_outcome)client->outcome, client->detail);
  } else {
    out->kind = BW_EVENT;
    out->length = say_event(client, now_ms);
    if (out->length == 0 && now_ms >= client->hello.due) return bw_poll(client, now_ms, out); /* once: now it is not due */
  }
  return out->length > 0;
}

uint64_t bw_wake_at(const bw_client *client) {
  if (client->welcomed && (client->more || client->say_result)) return 0;
  if (client->welcomed && client->kept.count > 0 && client->events.due < client->hello.due) return client->events.due;
  return client->hello.due;
}

/* Lets go of what is counted, as far as this start has sent it: no word of the gateway's makes it drop what it never said. */
static void let_go(bw_client *client, uint64_t now_ms) {
  bw_position to = compare(client->counted, client->reach) < 0 ? client->counted : client->reach;
  size_t offset = 0;
  uint32_t gone = 0;
  while (gone < client->kept.count && compare(on_wire(client, record_at(client, offset)), to) <= 0) {
    offset += record_length(client, offset) + BW_RECORD_BYTES;
    gone++;
  }
  client->more = true;
  if (gone == 0 || !pop(client, gone)) return;
  client->counters.acknowledged += gone;
  client->sent = client->sent > gone ? client->sent - gone : 0;
  client->repeated_below = client->repeated_below > gone ? client->repeated_below - gone : 0;
  wait_until(&client->events, 0);
  if (client->sent > 0) tried(client, &client->events, now_ms);
  settle_name(client, now_ms);
}

static void take_base(bw_client *client, uint32_t base, uint64_t now_ms) {
  const uint32_t before = client->kept.base;
  if (boot_above(client, base) == 0) {
    count(&client->counters.damaged); /* the numbers would run out: no gateway that counts says so */
    return;
  }
  client->kept.base = base;
  if (!save_numbers(client)) {
    client->kept.base = before;
    client->kept.generation--;
    count(&client->counters.storage_failed); /* the next hello leads here again */
    return;
  }
  if (before != NO_BASE) count(&client->counters.renumbered);
  client->welcomed = false;
  client->reach.boot = client->reach.sequence = 0;
  client->sent = client->repeated_below = 0;
  if (now_ms >= client->renumber.due + CALM_MS) wait_until(&client->renumber, 0);
  client->renumber_from = now_ms > client->renumber.due ? now_ms : client->renumber.due;
  wait_until(&client->hello, client->renumber_from);
  if (client->again_from < client->renumber_from) client->again_from = client->renumber_from;
  tried(client, &client->renumber, client->renumber_from);
  client->renumber.due += client->renumber.due - client->renumber_from; /* 2 s to 128 s */
}

static void welcome(bw_client *client, const bw_welcome *said, uint64_t now_ms) {
  const uint32_t own = client->was_welcomed ? client->sequence : 0; /* before it was welcomed it has sent nothing */
  const uint32_t boot = bw_boot(client);
  if (!client->asked || said->token != client->token) {
    count(&client->counters.stale);
    return;
  }
  client->asked = false;
  client->old_hellos = 0;
  if (said->unix_ms != 0 && now_ms - client->asked_at <= ROUND_TRIP_MAX_MS) {
    client->has_clock = true;
    client->unix_ms = said->unix_ms;
    client->clock_asked_at = client->asked_at;
    client->clock_heard_at = now_ms;
  }
  if (boot == 0 || boot < said->boot || (said->counted.boot == boot && said->counted.sequence > own)) {
    take_base(client, said->boot, now_ms);
    return;
  }
  if (!client->welcomed) wait_until(&client->events, 0);
  client->welcomed = client->was_welcomed = true;
  wait_until(&client->hello, now_ms + HELLO_EVERY_MS);
  client->counted = said->counted;
  let_go(client, now_ms);
}

static void acknowledged(bw_client *client, bw_position counted, uint64_t now_ms) {
  bw_position own = {bw_boot(client), client->sequence};
  if (!client->welcomed || compare(counted, own) > 0) {
    count(&client->counters.stale);
  } else if (counted.boot == 0) {
    /* Perhaps it does not know us. Over MQTT it may be said to another one with our name. */
    uint64_t from = client->events.due > client->again_from ? client->events.due : client->again_from;
    if (client->sent > 0 && client->hello.due > from) client->hello.due = from;
  } else if (compare(counted, client->counted) < 0) {
    count(&client->counters.stale);
  } else {
    client->counted = counted;
    let_go(client, now_ms);
  }
}

static void expired(bw_client *client) {
  count(&client->counters.command_expired);
  client->order = ORDER_ANSWERED;
  client->outcome = BW_EXPIRED;
  client->detail[0] = 0;
  client->say_result = true;
}

static void commanded(bw_client *client, const bw_command *command, uint64_t now_ms) {
  if (command->boot != bw_boot(client) || !client->has_clock) {
    count(&client->counters.command_foreign);
  } else if (command->id <= client->last_command) {
    count(&client->counters.command_repeated);
    if (command->id == client->last_command && client->order == ORDER_ANSWERED) client->say_result = true;
  } else {
    client->last_command = command->id;
    client->say_result = false;
    client->command = *command;
    client->order = ORDER_WAITS;
    if (latest(client, now_ms) >= command->expires_at_ms) expired(client);
  }
}

void bw_receive(bw_client *client, uint8_t kind, const uint8_t *bytes, size_t length, uint64_t now_ms) {
  bw_welcome said;
  bw_position counted;
  bw_command command;
  if (kind == BW_VERSION_ONLY || (length > 0 && bytes[0] != BW_VERSION))
    count(&client->counters.version);
  else if (kind == BW_WELCOME && bw_decode_welcome(bytes, length, &said))
    welcome(client, &said, now_ms);
  else if (kind == BW_ACK && bw_decode_ack(bytes, length, &counted))
    acknowledged(client, counted, now_ms);
  else if (kind == BW_COMMAND && bw_decode_command(bytes, length, &command))
    commanded(client, &command, now_ms);
  else
    count(&client->counters.damaged);
}

const bw_command *bw_command_to_obey(bw_client *client, uint64_t now_ms) {
  if (client->order != ORDER_WAITS) return NULL;
  if (latest(client, now_ms) >= client->command.expires_at_ms) {
    expired(client);
    return NULL;
  }
  client->order = ORDER_ACTING;
  return &client->command;
}

bool bw_answer(bw_client *client, uint64_t id, bw_outcome outcome, const char *detail) {
  size_t length = strlen(detail);
  if (id != client->last_command || client->order != ORDER_ACTING) return false;
  if (length > BW_TEXT_MAX) {
    length = BW_TEXT_MAX;
    while (length > 0 && ((uint8_t)detail[length] & 0xc0) == 0x80) length--; /* not within a letter */
  }
  if (!is_utf8(detail, length)) length = 0;
  memcpy(client->detail, detail, length);
  client->detail[length] = 0;
  client->order = ORDER_ANSWERED;
  client->outcome = (uint8_t)outcome;
  client->say_result = true;
  return true;
}
