// What a dashboard of ours may consist of, made from what Grafana publishes. Its types are those of TypeScript code: here text
// stands for an enumeration, everything has a default, and what they leave open (panel by kind, overrides) is closed.

import type { AnnotationQuery, Dashboard, FieldConfig, Panel, VariableModel } from "./node_modules/@grafana/schema/dist/types/raw/dashboard/x/dashboard_types.gen";
import type * as Heatmap from "./node_modules/@grafana/schema/dist/types/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type * as Stat from "./node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as StateTimeline from "./node_modules/@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as Table from "./node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as TimeSeries from "./node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

type Written<E extends number> = number extends E ? number : `${E}` extends `${infer N extends number}` ? N : never;
type Json<T> = unknown extends T ? any
  : T extends string ? `${T}`
  : T extends number ? Written<T>
  : T extends (infer U)[] ? Json<U>[]
  : T extends object ? { [K in keyof T]?: Json<T[K]> }
  : T;

type Source = { type: "prometheus"; uid: "${datasource}" };

// Prometheus' queries are not in the schema any more; this is `Dataquery` of its Foundation SDK, for Grafana 11.6.
type Target = {
  datasource: Source;
  refId: string;
  expr: string;
  legendFormat?: string;
  format?: "time_series" | "table" | "heatmap";
  instant?: boolean;
  range?: boolean;
  exemplar?: boolean;
  editorMode?: "code" | "builder";
  interval?: string;
  hide?: boolean;
};

type Override<Custom> = {
  matcher: { id: "byName" | "byRegexp" | "byType" | "byFrameRefID"; options: string };
  properties: { id: Exclude<keyof FieldConfig, "custom"> | `custom.${keyof Custom & string}`; value: any }[];
};

type Of<Kind, Options, Custom> = Omit<Json<Panel>, "type" | "title" | "datasource" | "options" | "fieldConfig" | "targets"> & {
  type: Kind;
  title: string;
  datasource: Source;
  options: Json<Options>;
  fieldConfig: { defaults: Omit<Json<FieldConfig>, "custom"> & { custom?: Json<Custom> }; overrides: Override<Custom>[] };
  targets: Target[];
};

export type Board = Omit<Json<Dashboard>, "uid" | "panels" | "annotations" | "templating"> & {
  uid: string;
  panels: (
    | Of<"heatmap", Heatmap.Options, Heatmap.FieldConfig>
    | Of<"stat", Stat.Options, {}>
    | Of<"state-timeline", StateTimeline.Options, StateTimeline.FieldConfig>
    | Of<"table", Table.Options, Table.FieldConfig>
    | Of<"timeseries", TimeSeries.Options, TimeSeries.FieldConfig>
  )[];
  annotations: { list: (Omit<Json<AnnotationQuery>, "datasource"> & { datasource: Source; expr: string; titleFormat?: string })[] };
  templating: { list: Json<VariableModel>[] };
};
