// exchange-core (Java) as a subprocess target: the whole pipeline behind its ExchangeApi, risk engine switched off.
//
// The caller numbers orders, users and symbols. The full answer to a command carries a result code and the chain of
// matcher events: a TRADE for every resting order hit, REJECT with what an immediate-or-cancel order left over, REDUCE
// with what a cancel took away. The chain is not in order of time there (REJECT is put at its head), so the trades are
// written first. Prices and sizes are signed 64-bit integers. Best prices come from an order book
// request after each command.
//
// There is no market order, only limits and immediate-or-cancel; an order can be moved in price or reduced but not
// enlarged, so replace is not declared.

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import exchange.core2.core.ExchangeApi;
import exchange.core2.core.ExchangeCore;
import exchange.core2.core.common.CoreSymbolSpecification;
import exchange.core2.core.common.CoreWaitStrategy;
import exchange.core2.core.common.L2MarketData;
import exchange.core2.core.common.MatcherEventType;
import exchange.core2.core.common.MatcherTradeEvent;
import exchange.core2.core.common.OrderAction;
import exchange.core2.core.common.OrderType;
import exchange.core2.core.common.SymbolType;
import exchange.core2.core.common.api.ApiAddUser;
import exchange.core2.core.common.api.ApiCancelOrder;
import exchange.core2.core.common.api.ApiPlaceOrder;
import exchange.core2.core.common.api.ApiReset;
import exchange.core2.core.common.api.binary.BatchAddSymbolsCommand;
import exchange.core2.core.common.cmd.CommandResultCode;
import exchange.core2.core.common.cmd.OrderCommand;
import exchange.core2.core.common.config.ExchangeConfiguration;
import exchange.core2.core.common.config.OrdersProcessingConfiguration;
import exchange.core2.core.common.config.PerformanceConfiguration;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public final class Adapter {
    private static final int EXIT_ENGINE_FAILED = 70; // EX_SOFTWARE: the engine threw instead of answering
    private static final int SYMBOLS = 8; // S0..S7, as in the profile; any other name becomes an id the engine never saw
    private static final int UNKNOWN_SYMBOL = 999;
    private static final long UNUSED_ID = Long.MAX_VALUE;

    private final ExchangeApi api;
    private final Map<String, Long> ids = new HashMap<>();
    private final Map<Long, String> names = new HashMap<>();
    private final Map<Long, Long> executed = new HashMap<>();
    private final Map<String, Long> users = new HashMap<>();
    private final Map<Integer, JsonObject> tops = new HashMap<>();

    private Adapter(ExchangeApi api) {
        this.api = api;
    }

    private List<JsonObject> answer(JsonObject op) throws Exception {
        switch (op.get("op").getAsString()) {
            case "reset":
                return reset();
            case "new":
                return enter(op);
            case "cancel":
                return cancel(op);
            default:
                throw new IllegalArgumentException("this adapter has no such op: take the capability out of the profile");
        }
    }

    private List<JsonObject> reset() throws Exception {
        require(api.submitCommandAsync(ApiReset.builder().build()).get(), "reset");
        List<CoreSymbolSpecification> symbols = new ArrayList<>();
        for (int id = 1; id <= SYMBOLS; id++) {
            symbols.add(CoreSymbolSpecification.builder().symbolId(id).type(SymbolType.CURRENCY_EXCHANGE_PAIR)
                .baseCurrency(1).quoteCurrency(2).baseScaleK(1).quoteScaleK(1).build());
        }
        require(api.submitBinaryDataAsync(new BatchAddSymbolsCommand(symbols)).get(), "add symbols");
        for (Map<?, ?> map : List.of(ids, names, executed, users, tops)) {
            map.clear();
        }
        return List.of();
    }

    private List<JsonObject> enter(JsonObject op) throws Exception {
        long id = names.size() + 1L;
        String cl = op.get("cl").getAsString();
        OrderCommand done = api.submitCommandAsyncFullResponse(ApiPlaceOrder.builder()
            .orderId(id).uid(user(op)).symbol(symbol(op)).price(op.get("px").getAsLong()).size(op.get("qty").getAsLong())
            .reservePrice(op.get("px").getAsLong())
            .action(op.get("side").getAsString().equals("buy") ? OrderAction.BID : OrderAction.ASK)
            .orderType(op.get("tif").getAsString().equals("ioc") ? OrderType.IOC : OrderType.GTC).build()).get();
        names.put(id, cl);
        if (done.resultCode != CommandResultCode.SUCCESS) {
            return List.of(event("rejected", "cl", cl, "reason", done.resultCode.name()));
        }
        ids.put(cl, id);
        List<JsonObject> events = new ArrayList<>();
        events.add(event("accepted", "cl", cl, "id", Long.toString(id)));
        events.addAll(matched(op, id, done));
        events.addAll(top(op));
        return events;
    }

    private List<JsonObject> cancel(JsonObject op) throws Exception {
        long id = ids.getOrDefault(op.get("orig").getAsString(), UNUSED_ID);
        OrderCommand done = api.submitCommandAsyncFullResponse(
            ApiCancelOrder.builder().orderId(id).uid(user(op)).symbol(symbol(op)).build()).get();
        if (done.resultCode != CommandResultCode.SUCCESS) {
            return List.of(event("cancel_rejected", "cl", op.get("cl").getAsString(), "reason", done.resultCode.name()));
        }
        List<JsonObject> events = new ArrayList<>(matched(op, id, done));
        events.addAll(top(op));
        return events;
    }

    private List<JsonObject> matched(JsonObject op, long incoming, OrderCommand done) {
        List<JsonObject> events = new ArrayList<>();
        MatcherTradeEvent ending = null;
        for (MatcherTradeEvent e = done.matcherEvent; e != null; e = e.nextEvent) {
            if (e.eventType == MatcherEventType.TRADE) {
                executed.merge(e.matchedOrderId, e.size, Long::sum);
                executed.merge(incoming, e.size, Long::sum);
                events.add(event("trade", "sym", op.get("sym").getAsString(), "px", e.price, "qty", e.size,
                    "resting", names.get(e.matchedOrderId), "incoming", names.get(incoming)));
            } else {
                ending = e;
            }
        }
        if (ending != null) {
            events.add(event("cancelled", "cl", names.get(incoming), "leaves", ending.size,
                "cum", executed.getOrDefault(incoming, 0L), "reason", ending.eventType.name()));
        }
        return events;
    }

    private List<JsonObject> top(JsonObject op) throws Exception {
        L2MarketData book = api.requestOrderBookAsync(symbol(op), 1).get();
        JsonObject now = event("top", "sym", op.get("sym").getAsString());
        now.add("bid", book.bidSize == 0 ? JsonNull.INSTANCE : level(book.bidPrices[0], book.bidVolumes[0]));
        now.add("ask", book.askSize == 0 ? JsonNull.INSTANCE : level(book.askPrices[0], book.askVolumes[0]));
        JsonObject before = tops.put(symbol(op), now);
        boolean same = before == null ? book.bidSize + book.askSize == 0 : before.equals(now);
        return same ? List.of() : List.of(now);
    }

    private long user(JsonObject op) throws Exception {
        String account = op.get("acct").getAsString();
        if (!users.containsKey(account)) {
            users.put(account, users.size() + 1L);
            require(api.submitCommandAsync(ApiAddUser.builder().uid(users.get(account)).build()).get(), "add user");
        }
        return users.get(account);
    }

    private static int symbol(JsonObject op) {
        String name = op.get("sym").getAsString();
        return name.matches("S[0-7]") ? name.charAt(1) - '0' + 1 : UNKNOWN_SYMBOL;
    }

    private static void require(CommandResultCode code, String what) {
        if (code != CommandResultCode.SUCCESS) {
            throw new IllegalStateException(what + ": " + code);
        }
    }

    private static JsonElement level(long price, long volume) {
        JsonArray pair = new JsonArray();
        pair.add(price);
        pair.add(volume);
        return pair;
    }

    private static JsonObject event(String ev, Object... fields) {
        JsonObject event = new JsonObject();
        event.addProperty("ev", ev);
        for (int i = 0; i < fields.length; i += 2) {
            if (fields[i + 1] instanceof Number) {
                event.addProperty((String) fields[i], (Number) fields[i + 1]);
            } else {
                event.addProperty((String) fields[i], (String) fields[i + 1]);
            }
        }
        return event;
    }

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err); // stdout is for the protocol alone
        ExchangeCore core = ExchangeCore.builder().resultsConsumer((command, sequence) -> { })
            .exchangeConfiguration(ExchangeConfiguration.defaultBuilder()
                .ordersProcessingCfg(OrdersProcessingConfiguration.builder()
                    .riskProcessingMode(OrdersProcessingConfiguration.RiskProcessingMode.NO_RISK_PROCESSING)
                    .marginTradingMode(OrdersProcessingConfiguration.MarginTradingMode.MARGIN_TRADING_DISABLED).build())
                .performanceCfg(PerformanceConfiguration.latencyPerformanceBuilder()
                    .waitStrategy(CoreWaitStrategy.YIELDING).build()).build()).build();
        core.startup();
        Adapter adapter = new Adapter(core.getApi());
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line = null;
        try {
            adapter.reset();
            while ((line = in.readLine()) != null) {
                for (JsonObject event : adapter.answer(JsonParser.parseString(line).getAsJsonObject())) {
                    out.println(event);
                }
                out.println("{\"ev\":\"done\"}");
                out.flush();
            }
        } catch (Throwable failure) {
            System.err.println("adapter: " + failure + ", while answering " + line);
            Runtime.getRuntime().halt(EXIT_ENGINE_FAILED);
        }
        Runtime.getRuntime().halt(0); // its worker threads would keep the process alive
    }
}
