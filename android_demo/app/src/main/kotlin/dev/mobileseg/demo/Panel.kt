package dev.mobileseg.demo

import android.app.Activity
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner
import android.widget.TextView
import dev.mobileseg.core.Delegate
import dev.mobileseg.core.EngineOptions
import dev.mobileseg.core.ModelEntry
import dev.mobileseg.core.Stage
import dev.mobileseg.core.TimingSummary

private const val FAST = 10f

/** The controls and figures below the picture: it shows what it is given, and reports choices. */
class Panel(
    private val activity: Activity,
) {
    private val cores = Runtime.getRuntime().availableProcessors()
    private val threadCounts = generateSequence(1) { 2 * it }.takeWhile { it <= cores }.toList()
    private val models = find<Spinner>(R.id.models)
    private val delegates = find<Spinner>(R.id.delegates)
    private val threads = find<Spinner>(R.id.threads)
    private val legend = Legend(find(R.id.legend))

    /** What the user chose to run on. */
    val options get() = EngineOptions(
        Delegate.entries[delegates.selectedItemPosition],
        threadCounts[threads.selectedItemPosition],
    )

    fun listen(
        onModel: (Int) -> Unit,
        onOptions: () -> Unit,
    ) {
        fill(delegates, Delegate.entries.map { it.label })
        fill(threads, threadCounts.map { activity.resources.getQuantityString(R.plurals.threads, it, it) })
        // Half of the cores: on phones, the fast ones.
        threads.setSelection((threadCounts.size - 2).coerceAtLeast(0), false)
        onChoice(models, onModel)
        onChoice(delegates) { onOptions() }
        onChoice(threads) { onOptions() }
    }

    fun showModels(
        entries: List<ModelEntry>,
        chosen: Int,
    ) {
        fill(models, entries.map { it.label })
        models.isEnabled = entries.isNotEmpty()
        markModel(chosen)
    }

    /** Without reporting it as a choice. */
    fun markModel(chosen: Int) = mark(models, chosen)

    fun markDelegate(delegate: Delegate) = mark(delegates, delegate.ordinal)

    fun showOpened(opened: Opened) {
        val (input, output) = opened.manifest.input to opened.manifest.output
        find<TextView>(R.id.facts).text =
            listOf(
                opened.manifest.precision,
                "input ${input.width} × ${input.height}, ${input.dtype}",
                "output ${output.kind}, ${output.width} × ${output.height}, ${output.dtype}",
                "%.2f MB".format(opened.bytes / 1e6),
            ).joinToString("\n")
        legend.build(opened.manifest)
        markDelegate(opened.options.delegate)
    }

    fun showTiming(summary: TimingSummary?) {
        find<TextView>(R.id.fps).text = summary?.let { "%.1f fps".format(it.fps) } ?: "–"
        find<TextView>(R.id.inference).text = summary?.let { milliseconds(it.stages.getValue(Stage.INFERENCE)) } ?: "–"
        val rows =
            summary?.stages.orEmpty().map { (stage, time) -> stage.label to time } +
                listOfNotNull(summary?.let { "total" to it.total })
        val basis = summary?.let { if (it.count == 1) "one frame" else "median of the last ${it.count} frames" }
        find<TextView>(R.id.timing).text =
            (rows.map { (name, time) -> name.padEnd(10) + milliseconds(time).padStart(11) } + listOfNotNull(basis))
                .joinToString("\n")
    }

    fun showShares(shares: FloatArray) = legend.show(shares)

    /** An error; empty takes it away. */
    fun showError(text: String) = message(R.id.error, text)

    /** What the user should know of where the model runs. */
    fun showNotice(text: String) = message(R.id.notice, text)

    /** What goes on now. */
    fun showStatus(text: String) {
        find<TextView>(R.id.status).text = text
    }

    private fun message(
        id: Int,
        text: String,
    ) {
        val view = find<TextView>(id)
        view.text = text
        view.visibility = if (text.isEmpty()) View.GONE else View.VISIBLE
    }

    private fun fill(
        spinner: Spinner,
        labels: List<String>,
    ) {
        spinner.adapter =
            ArrayAdapter(activity, android.R.layout.simple_spinner_item, labels).apply {
                setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
            }
        spinner.tag = 0
    }

    /** Spinners report what the program selects, too, and later: what is selected already is no choice. */
    private fun onChoice(
        spinner: Spinner,
        action: (Int) -> Unit,
    ) {
        spinner.tag = spinner.selectedItemPosition
        spinner.onItemSelectedListener =
            object : AdapterView.OnItemSelectedListener {
                override fun onItemSelected(
                    parent: AdapterView<*>,
                    view: View?,
                    position: Int,
                    id: Long,
                ) {
                    if (position == spinner.tag) return
                    spinner.tag = position
                    action(position)
                }

                override fun onNothingSelected(parent: AdapterView<*>) = Unit
            }
    }

    private fun mark(
        spinner: Spinner,
        position: Int,
    ) {
        spinner.tag = position
        spinner.setSelection(position, false)
    }

    private fun <T : View> find(id: Int): T = activity.find(id)
}

private fun milliseconds(value: Float) = if (value < FAST) "%.2f ms".format(value) else "%.1f ms".format(value)
