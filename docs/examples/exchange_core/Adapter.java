// exchange-core (Java) as a subprocess target: its order book OrderBookDirectImpl, one instrument.
//
// The book is the matching component that exchange-core's pipeline runs, taken alone and called directly, so that the answer to a
// command is there when the call returns. The caller numbers orders and users. A command comes back with a result code
// and a chain of matcher events: a TRADE for every resting order hit, REJECT with what an immediate-or-cancel order
// left over, REDUCE with what a cancel took away. The chain is not in order of time there (REJECT is put at its head),
// so the trades are written first. Prices and sizes are signed 64-bit integers. Best prices come from a snapshot.
//
// There is no market order, only limits and immediate-or-cancel; an order can be moved in price or reduced but not
// enlarged, so replace is not declared.

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import exchange.core2.collections.objpool.ObjectsPool;
import exchange.core2.core.common.CoreSymbolSpecification;
import exchange.core2.core.common.L2MarketData;
import exchange.core2.core.common.MatcherEventType;
import exchange.core2.core.common.MatcherTradeEvent;
import exchange.core2.core.common.OrderAction;
import exchange.core2.core.common.OrderType;
import exchange.core2.core.common.SymbolType;
import exchange.core2.core.common.cmd.CommandResultCode;
import exchange.core2.core.common.cmd.OrderCommand;
import exchange.core2.core.common.config.LoggingConfiguration;
import exchange.core2.core.orderbook.IOrderBook;
import exchange.core2.core.orderbook.OrderBookDirectImpl;
import exchange.core2.core.orderbook.OrderBookEventsHelper;
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
    private static final long UNUSED_ID = Long.MAX_VALUE;

    private final IOrderBook book = new OrderBookDirectImpl(
        CoreSymbolSpecification.builder().symbolId(1).type(SymbolType.CURRENCY_EXCHANGE_PAIR)
            .baseCurrency(1).quoteCurrency(2).baseScaleK(1).quoteScaleK(1).build(),
        ObjectsPool.createDefaultTestPool(), OrderBookEventsHelper.NON_POOLED_EVENTS_HELPER, LoggingConfiguration.DEFAULT);
    private final Map<String, Long> ids = new HashMap<>();
    private final Map<Long, String> names = new HashMap<>();
    private final Map<Long, Long> executed = new HashMap<>();
    private final Map<String, Long> users = new HashMap<>();
    private JsonObject top = new JsonObject();

    private List<JsonObject> answer(JsonObject op) {
        switch (op.get("op").getAsString()) {
            case "new":
                return enter(op);
            case "cancel":
                return cancel(op);
            default:
                throw new IllegalArgumentException("this adapter has no such op: take the capability out of the profile");
        }
    }

    private List<JsonObject> enter(JsonObject op) {
        long id = names.size() + 1L;
        String cl = op.get("cl").getAsString();
        long price = op.get("px").getAsLong();
        OrderCommand command = OrderCommand.newOrder(
            op.get("tif").getAsString().equals("ioc") ? OrderType.IOC : OrderType.GTC,
            id, user(op), price, price, op.get("qty").getAsLong(),
            op.get("side").getAsString().equals("buy") ? OrderAction.BID : OrderAction.ASK);
        CommandResultCode code = IOrderBook.processCommand(book, command);
        names.put(id, cl);
        if (code != CommandResultCode.SUCCESS) {
            return List.of(event("rejected", "cl", cl, "reason", code.name()));
        }
        ids.put(cl, id);
        List<JsonObject> events = new ArrayList<>();
        events.add(event("accepted", "cl", cl, "id", Long.toString(id)));
        events.addAll(matched(op, id, command));
        events.addAll(top(op));
        return events;
    }

    private List<JsonObject> cancel(JsonObject op) {
        long id = ids.getOrDefault(op.get("orig").getAsString(), UNUSED_ID);
        OrderCommand command = OrderCommand.cancel(id, user(op));
        CommandResultCode code = IOrderBook.processCommand(book, command);
        if (code != CommandResultCode.SUCCESS) {
            return List.of(event("cancel_rejected", "cl", op.get("cl").getAsString(), "reason", code.name()));
        }
        List<JsonObject> events = new ArrayList<>(matched(op, id, command));
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

    private List<JsonObject> top(JsonObject op) {
        L2MarketData best = book.getL2MarketDataSnapshot(1);
        JsonObject now = event("top", "sym", op.get("sym").getAsString());
        now.add("bid", best.bidSize == 0 ? JsonNull.INSTANCE : level(best.bidPrices[0], best.bidVolumes[0]));
        now.add("ask", best.askSize == 0 ? JsonNull.INSTANCE : level(best.askPrices[0], best.askVolumes[0]));
        boolean same = top.size() == 0 ? best.bidSize + best.askSize == 0 : top.equals(now);
        top = now;
        return same ? List.of() : List.of(now);
    }

    private long user(JsonObject op) {
        return users.computeIfAbsent(op.get("acct").getAsString(), account -> users.size() + 1L);
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

    public static void main(String[] args) {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err); // stdout is for the protocol alone
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line = null;
        try {
            Adapter adapter = new Adapter();
            while ((line = in.readLine()) != null) {
                JsonObject op = JsonParser.parseString(line).getAsJsonObject();
                if (op.get("op").getAsString().equals("reset")) {
                    adapter = new Adapter();
                } else {
                    adapter.answer(op).forEach(out::println);
                }
                out.println("{\"ev\":\"done\"}");
                out.flush();
            }
        } catch (Throwable failure) {
            System.err.println("adapter: " + failure + ", while answering " + line);
            System.exit(EXIT_ENGINE_FAILED);
        }
    }
}
