import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** The workers, each a thread, their random choices and the report; ../README.md says what each operation does. */
final class Mixed {
    static final int CONNECTIONS = setting("WEIR_CONNECTIONS");
    private static final int SECONDS = setting("WEIR_SECONDS");
    private static final int GRACE = 20;

    /** Throws if something else happens than it expects. */
    interface Operation {
        void run(Worker w) throws Exception;
    }

    /** Runs one operation at a time. Those of the pool have the numbers from half of all on. */
    static final class Worker {
        final int number;
        final boolean isPooled;
        final String schema;
        final Random random;
        private int sequence;
        private volatile String doing = "";

        Worker(int number) {
            this.number = number;
            isPooled = number >= CONNECTIONS / 2;
            schema = isPooled ? "s0" : "s" + number % 4;
            random = new Random(setting("WEIR_SEED") * 1000L + number);
        }

        /** A number that this worker has not used yet. */
        int next() {
            return ++sequence;
        }

        <T> T oneOf(List<T> choices) {
            return choices.get(random.nextInt(choices.size()));
        }
    }

    private final Map<String, Operation> operations;
    private final List<String> kinds;
    private final List<String> drawn = new ArrayList<>();
    private final Map<String, AtomicLong> counts = new java.util.TreeMap<>();
    private final ConcurrentLinkedQueue<String> unexpected = new ConcurrentLinkedQueue<>();
    private final long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS);

    Mixed(Map<String, Operation> operations) {
        this.operations = operations;
        kinds = List.copyOf(operations.keySet());
        kinds.forEach(kind -> counts.put(kind, new AtomicLong()));
        for (String word : System.getenv("WEIR_MIX").split(" ")) {
            String[] mix = word.split("=");
            for (int i = 0; operations.containsKey(mix[0]) && i < Integer.parseInt(mix[1]); i++)
                drawn.add(mix[0]);
        }
    }

    private static int setting(String name) {
        return Integer.parseInt(System.getenv(name));
    }

    static void equal(Object found, Object wanted) {
        if (!Objects.equals(found, wanted))
            throw new AssertionError("%.500s came instead of %.500s".formatted(found, wanted));
    }

    private void work(Worker w, Operation begin, Operation finish) {
        try {
            w.doing = "begin";
            begin.run(w);
            for (int n = 0; System.nanoTime() - end < 0; n++) {
                // Each once, then at random.
                w.doing = n < kinds.size() ? kinds.get((w.number + n) % kinds.size()) : w.oneOf(drawn);
                operations.get(w.doing).run(w);
                counts.get(w.doing).incrementAndGet();
            }
            w.doing = "end";
            finish.run(w);
        } catch (Throwable problem) { // whatever it is, it was not expected
            var trace = new java.io.StringWriter();
            problem.printStackTrace(new java.io.PrintWriter(trace));
            unexpected.add("connection " + w.number + ", " + w.doing + ": " + trace);
        }
    }

    /** The exit status. begin and finish are around what a worker does. */
    int run(Operation begin, Operation finish) throws InterruptedException {
        var threads = new java.util.LinkedHashMap<Worker, Thread>();
        for (int number = 0; number < CONNECTIONS; number++) {
            Worker w = new Worker(number);
            Thread thread = new Thread(() -> work(w, begin, finish));
            thread.setDaemon(true);
            threads.put(w, thread);
        }
        threads.values().forEach(Thread::start);
        long patience = end + TimeUnit.SECONDS.toNanos(GRACE);
        for (var entry : threads.entrySet()) {
            long left = TimeUnit.NANOSECONDS.toMillis(patience - System.nanoTime());
            entry.getValue().join(Math.max(left, 1));
            if (entry.getValue().isAlive())
                unexpected.add("connection " + entry.getKey().number + " is stuck in " + entry.getKey().doing);
        }
        counts.forEach((kind, count) -> System.out.println(kind + " " + count));
        unexpected.forEach(text -> System.out.println("unexpected: " + text));
        return unexpected.isEmpty() ? 0 : 1;
    }
}
