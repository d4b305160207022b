/**
 * The page's texts. The English text is the key; a text without a Chinese one does not compile.
 *
 * Words in braces are replaced: `t("Next try in {seconds} s", { seconds: 3 })`.
 */

const CHINESE = {
  "(old)": "（旧）",
  "Choose factors": "选择因子",
  "Close factors": "关闭因子",
  "Close keyboard shortcuts": "关闭键盘快捷键",
  "Close what is open": "关闭已打开的面板",
  "Computed up to {time}": "已计算至 {time}",
  "Connection": "连接",
  "Drawing": "绘制中",
  "Drawings late": "图形滞后",
  "Factors late": "因子滞后",
  "Keyboard shortcuts": "键盘快捷键",
  "Light or dark theme": "浅色或深色主题",
  "Loaded": "已加载",
  "Move the chart": "移动图表",
  "Move the chart further": "大幅移动图表",
  "Newest candle": "最新K线",
  "Normal zoom": "恢复缩放",
  "Oldest candle that is loaded": "已加载的最早K线",
  "Page": "页面",
  "Series": "序列",
  "Shorter and longer timeframe": "更短和更长的周期",
  "Show or hide markets": "显示或隐藏市场列表",
  "Status": "状态",
  "Switch a factor, in the order of the row": "开关因子（按所列顺序）",
  "Switch volume": "开关成交量",
  "The zone in which times are shown": "显示时间所用的时区",
  "Timeframe, in the order of the row": "周期（按所列顺序）",
  "Tools": "工具",
  "Zoom in and out": "放大和缩小",
  "{candles} missing {range}": "{range} 缺少 {candles}",
  "{candles} missing {range}, recovering…": "{range} 缺少 {candles}，正在补回…",
  "{count} candles": "{count} 根K线",
  "{count} more gaps": "另有 {count} 处缺口",
  "{name}: {shown}/{all} parts chosen": "{name}：{shown}/{all} 项已选",
  "1 candle": "1 根K线",
  "1 more gap": "另有 1 处缺口",
  "24 h": "24 小时",
  "A series reads exchange:market:symbol:timeframe.":
    "序列的写法是 exchange:market:symbol:timeframe。",
  "Ahead of the clock": "超前于时钟",
  "As the system": "跟随系统",
  "Backfilled": "已回补",
  "Backfilling": "回补中",
  "Backfilling {percent}%": "回补中 {percent}%",
  "Behind": "滞后",
  "Behind {time}": "滞后 {time}",
  "Browser": "跟随浏览器",
  "Candles": "K线",
  "Candles up to {candles}, factors up to {factors}, drawings up to {drawings}":
    "K线至 {candles}，因子至 {factors}，图形至 {drawings}",
  "Candlestick chart": "K线图",
  "Candlestick chart of {series}": "{series} 的K线图",
  "Capacity reached": "已达上限",
  "Capacity reached: this series is read every few seconds instead of live.":
    "已达上限：该序列每隔几秒读取一次，而非实时推送。",
  "Catching up": "追赶中",
  "Chart": "图表",
  "Close markets": "关闭市场列表",
  "Close settings": "关闭设置",
  "Closed candles loaded": "已加载的收盘K线数",
  "Closes in": "距收盘",
  "Computing": "计算中",
  "Dark": "深色",
  "Delayed": "延迟",
  "Drawings": "图形",
  "Drawings of the older candles in view can not be read; trying again":
    "无法读取可见的较早K线的图形，正在重试",
  "Error": "错误",
  "Exchange (UTC)": "交易所（UTC）",
  "Factors": "因子",
  "Followed all the time": "始终跟踪",
  "Following live": "实时跟踪中",
  "Futures": "合约",
  "Gaps": "缺口",
  "Green": "绿色",
  "History begins {time}": "历史始于 {time}",
  "Holes in the loaded range": "已加载范围内的缺口",
  "Lag": "滞后",
  "Language": "语言",
  "Last": "最新价",
  "Last close": "最近收盘",
  "Latest": "最新",
  "Light": "浅色",
  "Live": "实时",
  "Loading": "加载中",
  "Loading candles": "正在加载K线",
  "Local ({zone})": "本地（{zone}）",
  "Market": "市场",
  "Market figures are not available right now; trying again.": "暂时没有行情数据，正在重试。",
  "Markets": "市场",
  "missing {time}": "缺少 {time}",
  "Newest candle is {time} late": "最新K线晚了 {time}",
  "Newest stored candle {time}": "最新已存K线 {time}",
  "Next try in {seconds} s": "{seconds} 秒后重试",
  "No answer": "无应答",
  "No answer yet": "尚无应答",
  "No candles": "没有K线",
  "No candles yet": "还没有K线",
  "No market matches.": "没有匹配的市场。",
  "No markets here yet.": "这里还没有市场。",
  "No message for a while": "一段时间没有消息",
  "No series yet": "还没有序列",
  "none": "无",
  "Now": "立即",
  "Older missing": "缺少较早部分",
  "On the chart now": "当前图上",
  "Quiet": "安静",
  "Reading": "读取中",
  "Reading history": "正在读取历史",
  "Reading the list of series…": "正在读取序列列表…",
  "Reading the newest history…": "正在读取最新历史…",
  "Reading up to the newest candle": "正在读取至最新K线",
  "Reading up to the newest candle…": "正在读取至最新K线…",
  "Rebuilding": "重建中",
  "Reconnecting": "重新连接中",
  "Red": "红色",
  "Rising candles": "上涨K线",
  "Search markets": "搜索市场",
  "Seconds between the newest closed candle and the one expected by now":
    "最新收盘K线与此刻应有K线之间的秒数",
  "Server not reachable": "无法连接服务器",
  "Settings": "设置",
  "Spot": "现货",
  "The connection was lost.": "连接已断开。",
  "The connection was silent for too long.": "连接沉默过久。",
  "The drawings are being read": "正在读取图形",
  "The drawings can not be read; trying again": "无法读取图形，正在重试",
  'The link names "{text}".': "链接中的名称是“{text}”。",
  "The server can not be reached.": "无法连接服务器。",
  "The server did not answer in time.": "服务器未及时应答。",
  "The server does not report this": "服务器不报告此项",
  "The server follows its maximum of series; the page polls every few seconds":
    "服务器跟踪的序列已达上限，页面每隔几秒读取一次",
  "The server is computing the drawings": "服务器正在计算图形",
  "The server refused a message as too large.": "服务器拒绝了过大的消息。",
  "The server refused the connection.": "服务器拒绝了连接。",
  "Theme": "主题",
  "There is no such series": "没有这个序列",
  "There is nothing to draw yet": "还没有可画的内容",
  "This exchange gives no market ranking; whitelisted series only.":
    "该交易所没有市场排名，仅显示白名单序列。",
  "This series can not be shown": "无法显示该序列",
  "Time left until the open candle closes": "当前K线距收盘的时间",
  "Timeframe": "周期",
  "Times": "时区",
  "Times are shown in the zone {zone}": "时间按 {zone} 时区显示",
  "Try again": "重试",
  "Trying again every few seconds.": "每隔几秒重试。",
  "Trying now…": "正在重试…",
  "Unknown": "未知",
  "Vol {volume}": "量 {volume}",
  "Volume": "成交量",
  "Waiting": "等待中",
  "Waiting for background sync": "等待后台同步",
  "Waiting for background sync. The chart starts by itself.": "等待后台同步，图表会自动开始。",
  "Waiting for the first series to be whitelisted.": "等待第一个序列加入白名单。",
  "When the newest closed candle closed": "最新收盘K线的收盘时间",
} as const;

export type Text = keyof typeof CHINESE;
export type ShownLanguage = "en" | "zh-CN";

let shown: ShownLanguage = "en";

/** The language to show: the chosen one, else the browser's if the page has it, else English. */
export function languageFor(chosen: string, browser: readonly string[]): ShownLanguage {
  if (chosen === "en" || chosen === "zh-CN") return chosen;
  const first = browser.find((tag) => /^(en|zh)\b/i.test(tag));
  return first !== undefined && /^zh\b/i.test(first) ? "zh-CN" : "en";
}

/** Shows all texts in this language from now on. */
export function setLanguage(language: ShownLanguage): void {
  shown = language;
}

export function shownLanguage(): ShownLanguage {
  return shown;
}

/** A text in the language of the page. */
export function t(text: Text, values: Readonly<Record<string, string | number>> = {}): string {
  const words = shown === "zh-CN" ? CHINESE[text] : text;
  return words.replace(/\{(\w+)\}/g, (braced, name: string) => String(values[name] ?? braced));
}
