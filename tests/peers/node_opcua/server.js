"use strict";
// An OPC UA server that is not ours, for tests. Usage: node server.js PORT TAGS PERIOD_MS [--option[=value] ...]
//
// Namespace urn:peer:line. Nodes:
//   t0..tN-1     Double; the value is the tick: whole periods since EPOCH, the source time is EPOCH + tick * period
//   h0..h9       like t0..t9, with history. The history is computed from the clock, so it survives a restart as
//                the historian of a plant does
//   wave         Float[8192] every 100 ms (first sample = tick)    img    ByteString (PNG signature + tick)
//   sine         Double, with an exclusive limit alarm "Hot" on it (--alarm); "Device" sends its events
//   setpoint     writable Double            note     writable String          recipe(speed, name) a method of Device
//   Plant/Line1/Press/{Temperature, Pressure, Speed, Name}: analog items with unit, EURange and InstrumentRange
//                (s=press.<name>); they keep the value that "set" gave them; Pressure may only be read
// Options: --pki=DIR (rootFolder of the certificate manager; default: a temporary folder), --secure (no None endpoint),
//   --strict (unknown client certificates are refused; users' certificates: DIR/users/trusted/certs), --user (no anonymous; andon/secret), --alarm, --still (sine
//   moves only when told), --sessions=N, --publishes=N (most publish requests in a session), --per-call=N (monitored
//   items a call), --per-read=N, --no-history, --wave, --img, --keep-order, --uri=URN (application URI),
//   --level=N (ServiceLevel), --token=MS (lifetime of a channel's token), --anonymous-transfer=no, --min-sampling=MS.
// Commands, one a line on stdin, answered by one line of JSON on stdout: see COMMANDS.
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");
const opcua = require("node-opcua");

const EPOCH = Date.UTC(2026, 0, 1);
const URI = "urn:peer:line";
const [port, tags, period] = process.argv.slice(2, 5).map(Number);
const options = Object.fromEntries(
  process.argv.slice(5).map((word) => {
    const [name, value] = word.replace(/^--/, "").split("=");
    return [name, value === undefined ? true : value];
  }),
);
const number = (name, otherwise) => (options[name] === undefined ? otherwise : Number(options[name]));

/** The history of a tag, computed from the clock: tick k was made at EPOCH + k * period. */
class Computed {
  async push() {}

  extractDataValues(details, most, reversed, turned, callback) {
    const floor = opcua.isMinDate?.(details.startTime) ? 0 : details.startTime.getTime();
    const until = Math.min(details.endTime.getTime(), Date.now());
    const values = [];
    for (let tick = Math.max(0, Math.ceil((floor - EPOCH) / period)); EPOCH + tick * period <= until; tick += 1) {
      const at = new Date(EPOCH + tick * period);
      values.push(
        new opcua.DataValue({
          value: { dataType: "Double", value: tick },
          statusCode: opcua.StatusCodes.Good,
          sourceTimestamp: at,
          serverTimestamp: at,
        }),
      );
      if (most && values.length >= most) break;
    }
    callback(null, turned ? values.reverse() : values);
  }
}

async function make() {
  const root = options.pki || fs.mkdtempSync(path.join(os.tmpdir(), "peer-pki-"));
  const keys = new opcua.OPCUACertificateManager({
    automaticallyAcceptUnknownCertificate: !options.strict,
    rootFolder: root,
    disableFileWatchers: true,
  });
  const users = new opcua.OPCUACertificateManager({
    automaticallyAcceptUnknownCertificate: false,
    rootFolder: path.join(root, "users"),
    disableFileWatchers: true,
  });
  await keys.initialize();
  await users.initialize();
  const { MessageSecurityMode: Mode, SecurityPolicy: Policy } = opcua;
  const secured = [Policy.Basic256Sha256, Policy.Aes128_Sha256_RsaOaep, Policy.Aes256_Sha256_RsaPss];
  const server = new opcua.OPCUAServer({
    port,
    host: "127.0.0.1",
    hostname: "127.0.0.1",
    resourcePath: "/",
    serverInfo: { applicationUri: options.uri || "urn:peer:node-opcua" },
    serverCertificateManager: keys,
    userCertificateManager: users,
    securityPolicies: options.secure ? secured : [Policy.None, ...secured],
    securityModes: options.secure ? [Mode.Sign, Mode.SignAndEncrypt] : [Mode.None, Mode.Sign, Mode.SignAndEncrypt],
    userManager: { isValidUser: (name, password) => name === "andon" && password === "secret" },
    allowAnonymous: !options.user,
    allowAnonymousSubscriptionTransferOnUnsecuredChannel: options["anonymous-transfer"] !== "no",
    maxConnectionsPerEndpoint: 100,
    defaultSecureTokenLifetime: number("token", 60000),
    disableDiscovery: false,
    serverCapabilities: {
      minSupportedSampleRate: number("sample-rate", 0),
      maxSessions: number("sessions", 50),
      maxSubscriptions: 100,
      maxSubscriptionsPerSession: 20,
      maxMonitoredItems: 400000,
      maxMonitoredItemsPerSubscription: 200000,
      operationLimits: {
        maxMonitoredItemsPerCall: number("per-call", 0),
        maxNodesPerRead: number("per-read", 0),
        maxNodesPerHistoryReadData: number("per-history", 0),
      },
    },
  });
  await server.initialize();
  return { server, root };
}

const level = { value: 255 };

function fill(server) {
  const space = server.engine.addressSpace;
  const own = space.registerNamespace(URI);
  if (options.alarm) space.installAlarmsAndConditionsService();
  const device = own.addObject({
    nodeId: "s=device",
    browseName: "Device",
    organizedBy: space.rootFolder.objects,
    eventSourceOf: space.rootFolder.objects.server,
    eventNotifier: 1,
  });
  const add = (name, more) =>
    own.addVariable({
      nodeId: `s=${name}`,
      browseName: name,
      componentOf: device,
      dataType: "Double",
      minimumSamplingInterval: number("min-sampling", 0),
      ...more,
    });
  const ticking = Array.from({ length: tags }, (_, place) => add(`t${place}`));
  const kept = options["no-history"] ? [] : Array.from({ length: Math.min(10, tags) }, (_, place) => add(`h${place}`));
  for (const variable of kept) space.installHistoricalDataNode(variable, { historian: new Computed() });
  const wave = add("wave", { dataType: "Float", valueRank: 1, arrayDimensions: [8192] });
  const img = add("img", { dataType: "ByteString" });
  const sine = add("sine");
  const setpoint = add("setpoint", { accessLevel: "CurrentRead | CurrentWrite", userAccessLevel: "CurrentRead | CurrentWrite" });
  setpoint.setValueFromSource({ dataType: "Double", value: 0 });
  const note = add("note", { dataType: "String", accessLevel: "CurrentRead | CurrentWrite", userAccessLevel: "CurrentRead | CurrentWrite" });
  note.setValueFromSource({ dataType: "String", value: "" });
  sine.setValueFromSource({ dataType: "Double", value: 0 });
  const recipe = own.addMethod(device, {
    nodeId: "s=recipe",
    browseName: "recipe",
    inputArguments: [
      { name: "speed", dataType: "Double" },
      { name: "name", dataType: "String" },
    ],
    outputArguments: [{ name: "accepted", dataType: "String" }],
  });
  const plant = own.addObject({ browseName: "Plant", organizedBy: space.rootFolder.objects });
  const line = own.addObject({ browseName: "Line1", organizedBy: plant });
  const press = own.addObject({ nodeId: "s=press", browseName: "Press", componentOf: line });
  press.addReference({ referenceType: "Organizes", nodeId: plant.nodeId }); // a cycle, as real address spaces have them
  const analog = (name, unit, low, high, more) =>
    own.addAnalogDataItem({
      nodeId: `s=press.${name}`,
      browseName: name,
      componentOf: press,
      dataType: "Double",
      engineeringUnits: unit,
      engineeringUnitsRange: { low, high },
      instrumentRange: { low: low - 50, high: high + 50 },
      minimumSamplingInterval: 0,
      value: { dataType: "Double", value: 20 },
      ...more,
    });
  const read = { accessLevel: "CurrentRead", userAccessLevel: "CurrentRead" };
  analog("Temperature", opcua.standardUnits.degree_celsius, 0, 200);
  analog("Pressure", opcua.standardUnits.bar, 0, 10, read);
  analog("Speed", opcua.standardUnits.revolutions_per_minute ?? opcua.standardUnits.hertz, 0, 3000);
  own.addVariable({ nodeId: "s=press.Name", browseName: "Name", componentOf: press, dataType: "String" })
    .setValueFromSource({ dataType: "String", value: "冲压机" });
  const called = [];
  recipe.bindMethod((given, _context, callback) => {
    called.push(given.map((it) => it.value));
    const bad = given[0].value < 0;
    callback(null, {
      statusCode: bad ? opcua.StatusCodes.BadOutOfRange : opcua.StatusCodes.Good,
      outputArguments: bad ? [] : [{ dataType: "String", value: `${given[1].value}@${given[0].value}` }],
    });
  });
  if (options.alarm) {
    own.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
      nodeId: "s=hot",
      browseName: "Hot",
      componentOf: device,
      conditionSource: device,
      inputNode: sine,
      conditionName: "Hot",
      highHighLimit: 95,
      highLimit: 80,
      lowLimit: -80,
      lowLowLimit: -95,
      optionals: ["ConfirmedState", "Confirm"],
    });
  }
  level.value = number("level", 255);
  space.rootFolder.objects.server.serviceLevel.bindVariable(
    { get: () => new opcua.Variant({ dataType: "Byte", value: level.value }) },
    true,
  );
  return { space, own, device, add, ticking, kept, wave, img, sine, setpoint, note, called };
}

/** Sets every tick, none left out: a timer that is late catches up. */
function run(plant) {
  let tick = Math.floor((Date.now() - EPOCH) / period);
  const state = { tick, paused: false };
  const samples = new Float32Array(8192);
  for (let place = 0; place < samples.length; place += 1) samples[place] = Math.sin(place / 50);
  const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const step = () => {
    const now = Math.floor((Date.now() - EPOCH) / period);
    while (tick < now) {
      tick += 1;
      if (state.paused) continue;
      const at = new Date(EPOCH + tick * period);
      for (const list of [plant.ticking, plant.kept])
        for (const variable of list)
          if (variable) variable.setValueFromSource({ dataType: "Double", value: tick }, opcua.StatusCodes.Good, at);
      state.tick = tick;
    }
  };
  setInterval(step, Math.max(1, Math.min(period, 10)));
  if (!options.still)
    setInterval(() => {
      const value = 100 * Math.sin(Date.now() / 2000);
      plant.sine.setValueFromSource({ dataType: "Double", value });
    }, 250);
  let turn = 0;
  setInterval(() => {
    turn += 1;
    const at = new Date();
    if (options.wave) {
      const block = Float32Array.from(samples);
      block[0] = turn;
      plant.wave.setValueFromSource(
        { dataType: "Float", arrayType: opcua.VariantArrayType.Array, value: block },
        opcua.StatusCodes.Good,
        at,
      );
    }
    if (options.img) {
      const size = Math.max(64, Number(options.img) || 64);
      const picture = Buffer.alloc(size);
      PNG.copy(picture);
      picture.writeUInt32LE(turn, 8);
      plant.img.setValueFromSource({ dataType: "ByteString", value: picture }, opcua.StatusCodes.Good, at);
    }
  }, 100);
  return state;
}

const sessions = (server) => Object.values(server.engine._sessions);
const subscriptions = (server) => sessions(server).flatMap((session) => session.publishEngine.subscriptions);

const COMMANDS = {
  // How many sessions were ever created, and how many there are; subscriptions; ticks.
  count: ({ server, state, plant }) => ({
    created: server.engine.serverDiagnosticsSummary.cumulatedSessionCount,
    sessions: server.engine.serverDiagnosticsSummary.currentSessionCount,
    subscribed: server.engine.serverDiagnosticsSummary.cumulatedSubscriptionCount,
    subscriptions: server.engine.serverDiagnosticsSummary.currentSubscriptionCount,
    items: subscriptions(server).reduce((sum, it) => sum + it.monitoredItemCount, 0),
    tick: state.tick,
    called: plant.called,
  }),
  // Delete every subscription without telling anyone.
  unsubscribe: ({ server }) => {
    const every = subscriptions(server);
    for (const session of sessions(server))
      for (const it of [...session.publishEngine.subscriptions]) session.deleteSubscription(it.id);
    return { deleted: every.length };
  },
  // Close every session as if it had timed out; its subscriptions go with it, or stay ("keep").
  drop: ({ server }, keep) => {
    const every = sessions(server);
    for (const session of every) server.engine.closeSession(session.authenticationToken, keep !== "keep", "Timeout");
    return { dropped: every.length };
  },
  // Remove the variable t<N>, or bring it back.
  remove: ({ plant }, place) => {
    const variable = plant.ticking[Number(place)];
    plant.ticking[Number(place)] = null;
    plant.space.deleteNode(variable.nodeId);
    return { removed: `t${place}` };
  },
  restore: ({ plant }, place) => {
    plant.ticking[Number(place)] = plant.add(`t${place}`);
    return { restored: `t${place}` };
  },
  // Give the sine (and so the alarm) a value; needs --still to stay.
  sine: ({ plant }, value) => {
    plant.sine.setValueFromSource({ dataType: "Double", value: Number(value) });
    return { sine: Number(value) };
  },
  // Give a tag a status without a value: bad BadSensorFailure 3
  bad: ({ plant }, status, place) => {
    plant.ticking[Number(place)].setValueFromSource({ dataType: "Double", value: 0 }, opcua.StatusCodes[status]);
    return { status };
  },
  // Give a node of ours a Double: set press.Temperature 42
  set: ({ plant }, name, value) => {
    const variable = plant.space.findNode(`ns=${plant.own.index};s=${name}`);
    variable.setValueFromSource({ dataType: "Double", value: Number(value) });
    return { [name]: Number(value) };
  },
  // Send a plain event from the device: event 500 words
  event: ({ plant }, severity, ...words) => {
    plant.device.raiseEvent("BaseEventType", {
      message: { dataType: "LocalizedText", value: { text: words.join(" ") } },
      severity: { dataType: "UInt16", value: Number(severity) },
    });
    return { severity };
  },
  pause: ({ state }) => Object.assign(state, { paused: true }),
  go: ({ state }) => Object.assign(state, { paused: false }),
  level: (_, value) => Object.assign(level, { value: Number(value) }),
  values: ({ plant }) => ({
    setpoint: plant.setpoint.readValue().value.value,
    note: plant.note.readValue().value.value,
  }),
};

async function main() {
  const { server, root } = await make();
  const plant = fill(server);
  await server.start();
  const state = run(plant);
  const house = { server, plant, state };
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const [name, ...rest] = line.trim().split(/\s+/);
    let answer;
    try {
      answer = COMMANDS[name] ? COMMANDS[name](house, ...rest) : { error: `no command ${name}` };
    } catch (fault) {
      answer = { error: String(fault) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  });
  // Node's own stdout is for READY and answers; the library's chatter goes to stderr.
  process.stdout.write(`READY ${port} ${server.certificateFile} ${root}\n`);
}

console.log = console.info = console.warn = console.error;
main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
