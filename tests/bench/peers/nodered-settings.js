module.exports = { uiPort: "@PORT@", uiHost: "127.0.0.1", flowFile: "flows.json", credentialSecret: false,
  telemetry: { enabled: false, updateNotification: false }, diagnostics: { enabled: false }, runtimeState: { enabled: false },
  externalModules: { palette: { allowInstall: false }, modules: { allowInstall: false } }, editorTheme: { tours: false },
  logging: { console: { level: "warn", metrics: false, audit: false } } };
