"""The words that name the columns of experiments, field by field.

Sources: the arguments and logs of scikit-learn, XGBoost, LightGBM, CatBoost, Keras, PyTorch
Lightning, timm, Ultralytics YOLO, Hugging Face Trainer, PEFT and TRL, vLLM, ESPnet, Whisper,
RecBole, implicit, Stable-Baselines3, CleanRL, RLlib, Darts, GluonTS, Prophet, statsmodels, Optuna,
backtrader, vectorbt and quantstats, and the columns that xetrack and MLflow write themselves.

Each entry is a word or a phrase of words joined by ``_``, in lower case. How they determine
a role is described in :mod:`gitxexp.trackers.roles`.
"""

from __future__ import annotations


def _set(text: str) -> frozenset[str]:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return frozenset(word for line in lines for word in line.split())


# -- settings -------------------------------------------------------------------------------

#: A parameter as the whole name.
PARAMS = _set("""
    # models and training in general
    model model_name model_type model_id model_class model_size architecture arch backbone
    algorithm algo estimator classifier regressor learner network net encoder decoder head neck
    base_model pretrained_model pretrained_weights pretrained weights_init init initializer lr
    learning_rate base_lr max_lr min_lr lr0 lrf lr_scheduler lr_schedule lr_decay batch_size bs
    batch epochs nepochs optimizer optim opt scheduler dropout momentum nesterov betas beta
    beta1 beta2 eps eta alpha gamma lambda lambda_ lam lmbda l1 l2 wd weight_decay warmup
    warmup_steps steps seed random_state random_seed grad_clip clip_grad max_grad_norm
    gradient_clip_val clip patience early_stopping early_stop fp16 bf16 amp mixed_precision
    dtype precision_mode compile deterministic freeze frozen finetune fine_tune transfer
    activation act normalization norm_layer batch_norm layer_norm use_bias loss_fn loss_function
    criterion objective regularization reg penalty shuffle sampler sampling augment augmentation
    augmentations transform transforms preprocessing normalize standardize scaling scaler ema
    swa label_smoothing class_weight class_weights sample_weight loss_weights
    gradient_accumulation_steps grad_accum accumulate_grad_batches gradient_checkpointing fsdp
    zero_stage strategy stage fold_strategy curriculum teacher student distillation ensemble
    ensembling stacking voting temp temperature tau top_k topk top_p min_p k c mu nu rho sigma
    theta delta zeta margin rank depth width hidden units filters channels kernel stride padding
    dilation groups resolution threshold cutoff tolerance tol verbosity dataset data
    dataset_name data_path train_path test_path val_path train_file test_file validation_file
    data_dir data_subset subset split test_split val_split validation_split train_split cv
    n_splits task task_name method approach technique variant config_name preset recipe profile
    mode backend framework library engine tf32 torch_compile padding_side truncation_side
    group_by_length save_strategy save_steps eval_steps logging_steps eval_strategy
    evaluation_strategy optim_args gradient_clip_algorithm find_unused_parameters eval_step
    stopping_step stop_patience n_iter_no_change validation_fraction num_generations nthread
    loss_criterion accum_grad accum_steps smoothing damping stake sizer stop_size z_in z_out
    rule rules schema_type weighting_scheme sampling_method search_space search_method tuner
    weight_init use_cuda feature_engineering missing_strategy split_seed split_ratio
    split_method data_split hidden_dims layer_sizes layer_dims mlp_ratio qkv_bias emb_dim nhead
    nhid nlayers ninp bptt clip_norm clipnorm clipvalue decay amsgrad lookahead sam_rho lars
    trust_ratio
    # language
    tokenizer vocab_size prompt_template prompt_version prompt_style system_prompt
    system_prompt_version template prompt_strategy few_shot num_few_shot n_shot shots max_tokens
    max_new_tokens max_length max_len min_length max_seq_length max_seq_len seq_len
    sequence_length block_size context_length context_size context_window n_ctx num_beams
    beam_size beams beam repetition_penalty length_penalty frequency_penalty presence_penalty
    no_repeat_ngram_size do_sample num_return_sequences best_of stop_sequences stop lora_r
    lora_alpha lora_dropout lora_target_modules target_modules lora_rank lora quantization quant
    load_in_4bit load_in_8bit bits rope_theta rope_scaling attn_implementation flash_attention
    attention d_model d_ff d_head n_embd n_head n_layer n_positions chunk_size chunk_overlap
    overlap chunking retriever reranker embedding_model embedder embedding index_type
    vector_store vectordb similarity_metric distance_metric llm judge_model judge grader
    provider reasoning_effort tool_choice dpo_beta kl_coef kl_coeff reward_model ref_model
    packing neftune_noise_alpha mlm_probability masking_ratio pooling ngram_range max_df min_df
    analyzer stemmer lemmatize stopwords lowercase guardrails response_format
    # vision
    imgsz img_size image_size input_size crop_size crop patch_size mosaic mixup cutmix cutout
    randaugment autoaugment copy_paste hsv_h hsv_s hsv_v degrees translate shear perspective
    flipud fliplr hflip vflip erasing auto_augment color_jitter drop_path stochastic_depth
    drop_rate iou_thres conf_thres nms_iou nms conf close_mosaic anchors anchor_scales fpn
    interpolation in_channels out_channels in_chans global_pool guidance_scale cfg_scale
    noise_schedule timesteps_respacing latent_dim z_dim codebook_size num_inference_steps
    scale_factor mask_ratio momentum_encoder queue_size box cls dfl pose kobj aa reprob remode
    recount resplit nbs rect single_cls overlap_mask multi_scale cos_lr anchor_t crop_pct
    crop_fraction cutmix_minmax nms_pre score_thr resize rotate rotation blur brightness
    contrast saturation hue scale ratio tta test_time_augmentation class_agnostic_nms
    agnostic_nms max_det half dnn backbone_frozen stem neck_channels ohem focal_gamma
    focal_alpha bbox_loss_type cls_loss_type matcher set_cost_class
    # speech
    sample_rate sampling_rate sr n_mels num_mels n_mfcc n_fft hop_length hop_size win_length
    window_size window fmin fmax f_min f_max frame_length frame_shift spec_augment specaug
    time_mask freq_mask speed_perturb ctc_weight lm_weight lm_scale word_score beam_threshold
    language lang accent vocoder language_model lm vad vad_threshold noise_type rir blank_id
    subsampling subsampling_factor feature_type features_type snr_range snr_db_range time_masks
    freq_masks bpe_size token_type encoder_layers decoder_layers attention_heads encoder_type
    decoder_type mel_bins num_mel_bins preemphasis dither pre_emphasis ctc_alpha ctc_conf
    lm_alpha lm_beta decode_method decoding decoding_method prefix_beam transducer rnnt
    wake_word keyword speaker_embedding voice voice_name g2p phonemizer f0_min f0_max
    griffin_lim_iters trim_silence
    # recommendation
    factors n_factors latent_factors embedding_dim embed_dim embedding_size neg_sampling
    negative_sampling n_negatives num_negatives neg_ratio neg_samples min_interactions implicit
    explicit loss_type similarity_measure shrink shrinkage neighbors item_knn user_knn
    cold_start session_length max_session_length candidate_generator ranker n_candidates
    num_candidates confidence_weight feedback_type num_ng stopping_metric user_k item_k knn_k
    negs_per_pos neg_num n_emb filter_rated filter_seen exclude_seen leave_one_out eval_protocol
    ranking_loss bpr_margin emb_size rating_threshold decay_rate popularity_alpha mmr_lambda
    fairness_lambda propensity exploration_rate slate_size list_size
    # reinforcement learning
    env env_id env_name environment_name gym_id gym_env game scenario policy policy_type
    gae_lambda clip_range clip_coef clip_ratio clip_eps clip_range_vf ent_coef entropy_coef
    entropy_coeff vf_coef value_coef vf_coeff target_kl n_envs num_envs n_steps num_steps
    rollout_length rollout_fragment_length buffer_size replay_buffer_size replay_size
    buffer_capacity exploration_fraction exploration_initial_eps exploration_final_eps eps_start
    eps_end eps_decay epsilon epsilon_start epsilon_end epsilon_decay start_e end_e
    target_update_interval target_update target_network_frequency train_freq train_frequency
    update_epochs gradient_steps learning_starts frame_stack frame_skip action_repeat
    reward_scale reward_scaling reward_shaping reward_clip normalize_reward normalize_advantage
    norm_adv norm_obs anneal_lr num_minibatches minibatch_size sgd_minibatch_size num_sgd_iter
    actor_lr critic_lr pi_lr vf_lr polyak noise_std action_noise max_episode_steps use_sde
    sde_sample_freq dueling double_q double_dqn prioritized per_alpha per_beta n_step num_atoms
    v_min v_max discount discount_factor exploration autotune planner opponent noise_clip
    target_noise policy_delay policy_noise ortho_init net_arch activation_fn expl_noise
    warmup_start her n_sampled_goal goal_selection_strategy curiosity intrinsic_coef rnd_coef
    max_steps_per_episode max_ep_len map_name difficulty num_agents n_agents n_critics
    n_quantiles utd utd_ratio temperature_init init_temperature target_entropy cql_alpha
    bc_weight expectile
    # forecasting
    horizon forecast_horizon prediction_length output_chunk_length input_chunk_length lookback
    look_back lookback_window history seasonality season_length seasonal_periods sp m freq
    frequency lags n_lags rolling_window window_length changepoint_prior_scale
    seasonality_prior_scale holidays_prior_scale seasonality_mode growth trend seasonal damped
    damped_trend interval_width yearly_seasonality weekly_seasonality daily_seasonality
    n_changepoints changepoint_range p d q order seasonal_order quantiles quantile covariates
    exogenous exog holidays forecaster resample imputation differencing detrend deseasonalize
    boxcox step_length refit retrain likelihood_fn distribution input_len output_len pred_len
    label_len e_layers d_layers moving_avg train_window test_window stl_period fourier_order
    n_fourier use_holidays aggregation agg granularity resolution_minutes lead_time
    forecast_steps n_ahead steps_ahead n_forecasts n_lagged smoothing_level smoothing_trend
    smoothing_seasonal arma order_p order_d order_q max_p max_d max_q seasonal_p
    information_criterion backtest_windows refit_every expanding window_strategy log_transform
    target_transform target_scaler
    # tabular
    booster boosting boosting_type num_leaves min_child_weight min_child_samples
    min_data_in_leaf colsample_bytree colsample_bylevel colsample_bynode subsample
    bagging_fraction bagging_freq feature_fraction reg_alpha reg_lambda l2_leaf_reg l1_ratio
    scale_pos_weight max_bin border_count num_boost_round n_est n_trees ntree ntrees mtry
    min_samples_split min_samples_leaf min_impurity_decrease max_features max_depth
    max_leaf_nodes max_leaves ccp_alpha bootstrap oob_score solver multi_class degree coef0
    n_neighbors metric leaf_size linkage affinity init_method feature_set features
    feature_selection selector selected_features imputer encoding categorical_encoding target
    target_column target_col label_column label_col smote oversampling undersampling resampling
    oversample undersample balance test_size train_size val_size validation_size holdout_size
    cv_folds n_folds num_folds folds k_folds kfold stratify stratified pca pca_components
    n_components n_clusters min_cluster_size min_samples contamination pos_weight tree_method
    grow_policy objective_function eval_metric scoring n_trials n_iter_search max_iter
    fit_intercept var_smoothing bins n_bins hidden_layer_sizes hidden_layers calibration
    calibrate cat_smooth cat_features categorical_features numeric_features
    feature_fraction_bynode max_delta_step max_cat_threshold rsm od_wait od_type
    leaf_estimation_iterations random_strength bagging_temperature depthwise criterion_name
    splitter fill_value fillna missing outlier_method drop_columns polynomial_degree
    interaction_depth k_best variance_threshold label_encoder target_encoder resampling_method
    time_limit presets
    # finance
    universe rebalance rebalancing rebalance_freq rebalance_frequency rebalance_days stop_loss
    take_profit trailing_stop fast_ma slow_ma fast slow short_window long_window ma_window
    ema_span commission commission_bps commission_pct fee fees fee_bps fees_bps slippage_bps
    transaction_cost transaction_costs tcost cost_bps leverage initial_capital initial_cash
    capital starting_capital risk_free_rate risk_free rf benchmark entry_threshold
    exit_threshold entry_z exit_z zscore_entry rsi_period rsi_lower rsi_upper atr_period
    holding_period hold_days position_size position_sizing max_position max_weight allocation
    target_vol vol_target risk_aversion half_life halflife start_date end_date from_date to_date
    date_from date_to start end timeframe bar_size signal_type weighting market asset
    asset_class long_only top_n n_stocks n_long n_short portfolio factor factor_model
    lookback_days lookback_period momentum_window vol_window confidence_level kelly_fraction
    risk_per_trade exit_band_mult devfactor max_holding trade_size lot_size stop_loss_pct
    take_profit_pct sl tp_pct sl_pct bb_period bb_std macd_fast macd_slow macd_signal ema_fast
    ema_slow sma_fast sma_slow sma_window ema_window z_entry z_exit zscore_window spread_type
    hedge_ratio pair cash borrow_rate short_allowed entry_rule exit_rule regime_filter
    timeframe_minutes vol_lookback target_leverage rf_rate mar_target
    # how a measurement is made
    concurrency n_concurrent num_threads_client rate_limit qps_target num_prompts request_rate
    max_concurrency warmup_iters repeats n_repeats batch_mode n_jobs num_workers workers
    max_retries timeout timeout_s normalization_bias torch_deterministic collar agent guardrail
    hierarchical purge spacing date_col id_col drop_first meta_learner stft_hop mel_fmin
    mel_fmax weights ou_theta user_based item_based discount_rate sync_bn rerank_top_n
    dataset_mix hpo_trials vad_onset alpha_confidence per_beta_start box_gain obj_gain cls_gain
    dfl_gain rounds flash_attn bpe_vocab vocab season col_sample outlier_cut chunk_ms
    left_context right_context cut attn freeze_layers rebal vendor_adjust ignore_index pad_index
    blank_index kp ki kd clients_per_round milestones t_max cosine_tmax layerdrop nprobe nlist
    ef_search ef_construction hnsw_m bm25_k1 bm25_b rope_base typical_p nucleus_p mirostat hyde
    qlora hop preemph winsorize tfidf knn revin ma sma rsi macd atr ngram ngrams
    entry_zscore exit_zscore entry_z_score exit_z_score
    # sampling of posteriors, molecules and cells, maps
    chains draws tune burn_in burnin thin thinning target_accept max_treedepth nuts radius
    featurizer n_top_genes n_hvg n_hvgs n_pcs num_recycles n_recycles loop_closure
    n_step_returns n_step_return hash_buckets
    dpi psm oem binarize deskew onset min_duration_on
    min_duration_off strike alpha_level significance_level mde min_detectable_effect
    lenpen npratio gpu_memory_utilization kv_cache_dtype max_num_seqs
    few_shot_examples icl_examples in_context_examples
    garch_p garch_q arch_p arima_p arima_d arima_q arima_order dist
    risk_pct position_pct size_pct
    stft_win win_len win_size snr_min snr_max reflection sweeps
    memory_window
""")

#: A parameter as the last word or phrase of a name: ``hidden_size``, ``optimizer_type``.
PARAM_ENDINGS = _set("""
    size sizes dim dims depth width height layers layer units type types fn function seed epochs
    iter iters iterations threshold thres thresh thr weight weights fraction frac split mode
    strategy method scheduler schedule optimizer decay dropout momentum patience workers jobs
    len length config kwargs interval every freq frequency window limit budget penalty smoothing
    backend dtype enabled folds model model_name dataset coef factor scale scaling temperature
    prob probability_threshold capacity alpha beta gamma lambda eps epsilon sigma tau lr
    learning_rate bins period periods lag lags horizon order degree kernel solver algorithm algo
    policy sampler sampling_strategy scaler encoder decoder tokenizer template activation
    norm_type init initializer regularizer regularization reg augmentation transform resolution
    stride padding dilation channels filters blocks heads head_dim estimators clip warmup
    tolerance tol cutoff quantile quantiles percentile margin bits precision_mode multiplier
    exponent offset steps variant version_name strength noise_level wd shots budget_tokens
    effort lookback capital overlap neighbors components clusters backbone arch architecture
    algorithm_name optimizer_name criterion objective loss_fn loss_function engine metric_name
    scoring bps top_k top_p k dim_out cap floor_value schedule_type grid stage option options
    preset setting settings technique approach capital_usd leaf leaves features_max max_iter est
    estimators_count trees rounds negatives beams perturb augment normalization normalisation
    band mult floor ceil exclude emb emb_dim range bounds bound smooth minmax drop maps windows
    engineering padding_mode mixing jitter noise prefix suffix delay protocol rule filter
    selection initialization schema arch_name hid parallel parallelism lookback_window span
    width_mult allowed pool cost_bps fee commission slippage tax allocation encoding
    embedding_type loss_type reduction aggregation bonus shaping bias_init clipping terms
    covariates holidays learner estimator constraints weighting scheme cut vocab attn res
    experts extractor splitter embedder
    supervision randomization shift vae fit
    prior priors buckets bucket recycles
    downsampling upsampling subsampling oversample undersample oversampling undersampling levels
    l1 l2
    bool
    freq_masks time_masks
""")

#: Settings, before a word without meaning of its own: ``weight_value``, ``lora_bias``.
PARAM_BEGINNINGS = _set("""
    penalty opt optim optimizer sched scheduler encoder decoder backbone policy actor critic
    lora adam adamw sgd aug augment augmentation tokenizer loss_fn sampling generation retriever
    reranker embedding search kernel booster attn attention strategy teacher student noise
    freeze init quant preprocess imputer scaler dropout feature_selection grid
""")

#: Nouns whose number is a setting: ``n_layers`` is a setting, ``n_samples`` a fact of the data.
COUNTED_SETTINGS = _set("""
    layer layers head heads unit units epoch epochs estimator estimators est tree trees fold
    folds class classes worker workers job jobs iteration iterations iter iters step steps
    cluster clusters component components neighbor neighbors neighbour neighbours mel mels mfcc
    mfccs fft lag lags beam beams shot shots negative negatives filter filters channel channels
    block blocks stage stages expert experts env envs actor actors critic critics leaf leaves
    bin bins topic topics factor factors split splits repeat repeats restart restarts trial
    trials hidden embd embed bit bits group groups mixture mixtures gaussian gaussians centroid
    centroids prototype prototypes codebook codebooks anchor anchors crop crops view views op
    ops state states round rounds knot knots changepoint changepoints harmonic harmonics
    quantile quantiles candidate candidates labels inputs_dim minibatch minibatches atom atoms
    quantile_samples tower towers kernel kernels neuron neurons timesteps train_epochs stack
    stacks boost_round stocks long short bag bags init inits ensemble ensembles member members
    ply sweep sweeps hop hops rollout rollouts emb maps fourier filter_maps agents agent
    generations interactions_min few_shot examples_few_shot kv_heads return_sequences
    inference_steps diffusion_steps warmup_steps interest interests lookback window windows
    distractors distractor lags_max trees_max clients client virtual_tokens time_masks
    freq_masks masks neg latent latents risk_factors
    pcs hvgs recycles buckets chains draws samples_per_class
    paths shared independent simulation simulations sims playouts
    bagging
    demos demo demonstrations sweeps
""")

#: Words before a name that mark a switch.
SWITCHES = _set("""
    use uses with without enable enabled disable apply include exclude allow do no skip only add
    force tie share learn predict_with load resume pack freeze normalize normalise center
    shuffle drop remove filter pretrain
    balance
""")

#: Prefixes of the settings of an object (dataclasses, MLflow, W&B, Hydra).
PARAM_PREFIXES = _set("""
    params param config cfg conf hparams hparam hp hyperparameters hyperparams hyperparam hyper
    args arguments kwargs settings setting options opts hydra
""")

# -- metrics -----------------------------------------------------------------------------------

#: A metric as the last word of a name, or the first; more is better.
HIGHER = _set("""
    f1 fbeta f05 f2 acc accuracy auc auroc aucroc roc_auc rocauc pr_auc prauc auprc aucpr ap map
    precision recall sensitivity specificity tpr tnr ppv npv score r2 rsquared correlation corr
    pearson pearsonr spearman spearmanr kendall kendalltau kappa mcc iou giou diou ciou miou
    dice jaccard bleu sacrebleu rouge rouge1 rouge2 rougel rougelsum meteor chrf bertscore
    bleurt comet cider spice ndcg dcg mrr hit hits em exact_match reward rew return returns
    likelihood loglikelihood log_likelihood ll loglik elbo ssim psnr msssim silhouette
    calinski_harabasz explained_variance explained_var throughput speed fps qps rps coverage
    success win winrate gain lift r_squared f1score f1_score balanced_accuracy matthews
    faithfulness groundedness relevance relevancy answer_relevancy context_precision
    context_recall helpfulness coherence fluency correctness harmlessness consistency factuality
    similarity_score diversity novelty serendipity hitrate hr ctr cvr conversion revenue profit
    pnl sharpe sortino calmar omega cagr roi roc_score apy irr information_ratio profit_factor
    payoff expectancy equity nav alpha_annual ic rank_ic icir ic_ir ir gmv arpu retention ari
    nmi ami purity homogeneity completeness v_measure ks ks_stat gini kstest pesq stoi estoi
    sisdr si_sdr sisnr si_snr sdr snr mos dnsmos utmos pck oks mota motp idf1 hota ar pq map50
    map95 maps map50_95 map_50_95 nds fscore f_score fmeasure f_measure top1 top5 acc1 acc5
    prec1 prec5 mmlu gsm8k hellaswag arc truthfulqa humaneval mbpp winogrande piqa boolq squad
    glue superglue mteb bbh math ifeval pass_at_1 elo winning nse kge skill agreement
    rating_mean pass alignment confidence_mean clip_score inception_score sens spec gmean g_mean
    youden bacc c_index cindex concordance tm_score lddt gdt plddt rprec bpref nsd vmaf visqol
    srmr clap_score speaker_similarity similarity cosine_similarity sps swe_bench mt_bench
    alpaca_eval arena_hard gpqa aime livecodebench triviaqa nq siqa openbookqa lambada cola sst2
    mrpc qqp qnli rte wnli stsb bartscore moverscore spbleu hit_ratio arhr gauc uauc ild ep_rew
    ep_ret iqm d4rl_score mda pocid ccc pcc d2 jensen_alpha treynor recovery_factor romad sqn
    kelly_pct payoff_ratio win_loss_ratio avg_win total_return cum_return cumulative_return
    excess_return active_return ann_ret buy_and_hold_return time_in_market exposure_time
    best_day gain_to_pain portfolio_value final_value total_value account_value ending_value
    equity_final equity_peak sdri sisdri si_sdri snri aps apm apl ar100 ar_100 delta1 delta2
    wins upside accuracies precisions recalls scores rewards f1s aucs maps_at_k hits_at_k ctrs
    avg_reward picp sharpness usefulness safety solve_rate resolved solved bits_saved
    compression completeness_score validity uniqueness nps csat mp mr mc1 mc2 nisqa rtfx fwiou
    compliance personalization skill_score robustness recall_score valid_json schema_valid
    tool_selection information_coefficient mean_reciprocal_rank reciprocal_rank ret rets
    thumbs_up mutual_info mutual_information fowlkes_mallows mfu hfu qwk froc bayes_factor
    ess ess_bulk ess_tail elpd enrichment_factor gdt_ts gdt_ha
""")
#: … less is better.
LOWER = _set("""
    minimized loss losses error errors err rmse mae mse rmsle msle mape smape nrmse medae nll bce ce
    crossentropy cross_entropy xent logloss log_loss perplexity ppl bpc bpb bits_per_byte wer
    cer ter per_error mer der eer fpr fnr far frr fdr latency time duration runtime elapsed
    seconds secs sec ms us ns minutes hours cost memory mem ram bytes kb mb gb flops brier
    brier_score ece mce hinge deviance kl kld kl_div divergence distance fid kid lpips regret
    misses failures violations overfit gap residual residuals aic bic aicc hqic inertia
    davies_bouldin misclassification energy carbon emissions price toxicity mase rmsse wape
    wmape mdape smdape msse owa crps pinball quantile_loss winkler bias_error mbe drawdown
    max_dd maxdd mdd dd volatility vol var cvar var95 cvar95 expected_shortfall turnover
    downside tracking_error ulcer rtf mcd dcf min_dcf mindcf cllr tdcf sad hd hd95 asd assd
    chamfer epe absrel abs_rel sqrel are ade fde collision collisions td_error approx_kl
    entropy_loss grad_norm gradient_norm hallucination hallucinations refusals refusal_rate
    hamming hamming_loss zero_one_loss mpjpe ttft tpot itl auc_loss perplexities exploitability
    sparsity_loss abs_error mahalanobis wasserstein emd mmd fairness_gap disparity churn
    default_rate psi rmsd silog fad kad jer ser ned wql mql nd rrse rae rse msis mpiw
    interval_score energy_score dtw tdi pbias waic loo theil_u theils_u ql ibs poisson_deviance voe rvd
    ulcer_index avg_loss worst_day dd_duration real_time_factor word_error char_error warpq
    vuv_error kl_penalty policy_gradient_loss max_drawdown nmae medape rmsre ttfb tbt
    tail_latency footprint co2 lag_error missed calib_error rmspe mpe mre mad cmmd wrmsse fva
    theils_u2 hausdorff p_value pvalue residual_std flicker bpd theil jerk idsw id_switches
    watts value_at_risk inflation_factor
    r_hat rhat
    shortfall impact
    rt_factor
""")
#: Metrics for which neither direction is better.
NEUTRAL = _set("""
    entropy advantage value_mean q_value qvalue qvalues clip_fraction clipfrac exposure
    beta_market skew skewness kurtosis std_dev gini_index popularity popularity_bias
    average_popularity insertions deletions substitutions true_positives false_positives
    true_negatives false_negatives explained alpha_loss feasibility bias param_norm update_norm
    fairness parity equalized_odds demographic_parity calibration_slope t_stat tstat z_score
    value_estimate tracking_signal elo_rating confusion confusion_tp confusion_fp confusion_tn
    confusion_fn
""")
METRICS = HIGHER | LOWER | NEUTRAL

#: Outcomes: their rate or ratio is a metric (``win_rate``), that of anything else a setting.
OUTCOMES = _set("""
    err error hit win winning success miss failure failures false true fp fn tp tn positive
    negative pass passed accept acceptance reject rejection refusal hallucination click
    conversion completion detection recognition retrieval response refusals solve solved
    collision crash timeout churn retention alarm recovery match coverage sharpe sortino calmar
    information treynor omega profit loss payoff turnover sterling gain pain tail burke sentence
    sharp expense win_loss signal noise hits retry valid invalid correct wrong overlap_score
    fill default agreement abandonment purchase escalation resolution deflection truncation
    attack poison defect fault jailbreak cache_hit real_time bounce cart compliance utilization
    occupancy violation
""")

#: Rates and ratios that are set; any other is measured.
SET_RATES = _set("""
    learning dropout drop sample sampling decay mutation crossover frame refresh growth request
    risk req fee free exploration mixing subsample subsampling upsample downsample pruning prune
    masking mask sparsity update noise augmentation aug swap discount interest borrow bit tax
    commission forgetting ema polyak smoothing path keep teacher forcing anneal cooling
    replacement tick poll emission l1 l2 l1_l2 warmup train test val valid validation split mlp
    clip hedge neg negative negatives undersample oversample aspect expansion squeeze se width
    depth capacity crop trust replay utd patch mixup cutmix label data holdout reduction overlap
    resize scale blend teacher_forcing shrink positive_sampling down up lr leverage
    target_sampling eval dev masked corruption
    participation
    index
""")

#: Units of time: a setting with one of these words, otherwise a duration.
SET_SPANS = _set("""
    max min warmup lookback lookahead embargo purge holding hold rebalance freq decay horizon
    train test history cooldown gap window delay half life timeout limit interval retention
    formation skip rebal refit retrain update
""")

#: Words for where or how a value was measured, not for what it is.
SPLITS = _set("""
    train training trn val valid validation test tst eval evaluation dev holdout cv oof insample
    outsample oos ood is_sample in_sample out_of_sample test_clean test_other id_test public
    private
""")
AGGREGATES = _set("""
    best final last first mean avg average median min max std sum total macro micro weighted
    binary samples overall running smoothed ema p50 p90 p95 p99 p999 top at k n per class mtd
    raw_mean cumulative cum ep epoch batch step window abs absolute relative rel annual
    annualized annualised monthly daily net gross global local current peak rolling seconds_per
    stdev stddev sem ci lower upper low high mid harmonic geometric unweighted normalized
    norm_ratio all new sec_per m s l small medium large clean other noisy
""")
#: Units, at the end of a name.
UNITS = _set("""
    s sec secs second seconds ms us ns min mins minute minutes h hr hrs hour hours d day days
    pct percent perc pp bps usd eur gbp dollars cents db hz khz b kb mb gb tb gib mib kwh wh kg
    g token tokens step sample request query item image img example
""")

# -- provenance ----------------------------------------------------------------------

#: Context (where, when and by what something ran), as the whole name.
CONTEXT = _set("""
    # code, data and who
    commit commit_hash commit_sha commit_id git git_commit git_commit_hash git_hash git_sha
    git_rev git_ref git_branch git_tag git_dirty git_status git_diff git_url git_remote branch
    branch_name dirty sha revision rev run_commit code_commit code_hash code_version code_sha
    data_commit data_hash data_version data_sha dataset_hash dataset_version data_md5 dvc_hash
    dvc_commit dvc_rev db_commit md5 checksum hash fingerprint config_hash config_path
    config_file params_hash param_hash schema_version script script_name script_path script_hash
    notebook entry_point command cmd cmdline argv cwd working_dir workdir user username
    user_name author owner host hostname host_name node node_name machine server pid ppid
    process_id thread cluster partition queue namespace pod container image_tag docker_image
    docker_tag ip ip_address mac region_name availability_zone zone instance_type instance
    # the machine and its software
    os os_name os_version platform system kernel_version cpu cpu_name cpu_model cpu_count cpus
    num_cpus n_cpus cpu_percent cpu_util cpu_usage cpu_temp gpu gpu_name gpu_model gpu_type
    gpu_count gpus num_gpus n_gpus ngpus gpu_util gpu_usage gpu_temp gpu_temperature gpu_power
    gpu_percent device device_name devices num_devices n_devices world_size num_nodes n_nodes
    rank_id local_rank global_rank accelerator accelerator_type tpu tpu_type num_threads
    n_threads threads num_processes n_processes ram ram_gb ram_mb ram_percent memory memory_mb
    memory_gb memory_percent p_memory_percent memory_usage disk disk_percent disk_usage
    bytes_sent bytes_recv net_sent net_recv driver_version cuda cuda_version cudnn cudnn_version
    python python_version torch_version pytorch_version tensorflow_version tf_version
    keras_version sklearn_version transformers_version numpy_version pandas_version jax_version
    xgboost_version lightgbm_version library_version lib_version package_version sdk_version
    api_version framework_version client_version tracker_version app_version build build_id
    build_number env_hash env_vars environment_file resume_from load_from conda_env venv requirements
    requirements_hash
    # how it went
    status state_name run_status lifecycle_stage phase exit_code returncode return_code finished
    completed success_flag stopped_early early_stopped converged n_failed n_successful n_success
    n_errors num_errors error_count errors_count failed_count retries retry retry_count
    n_retries num_retries attempt attempts warnings n_warnings failure_mode failure_reason
    stop_reason finish_reason error_type error_code cache cached cache_hit cache_key from_cache
    function_name function_time function_result args kwargs
    # remarks
    description desc note notes comment comments remark remarks memo tag tags label_tag
    labels_tag name title display_name run_name experiment_name exp_name experiment project
    project_name study study_name sweep sweep_name group group_name trial_name job_name job_type
    job team source source_name source_type source_version artifact_uri artifact_path
    artifact_location log_dir logdir log_path log_file output_dir out_dir save_dir save_path
    result_path results_path checkpoint checkpoint_path checkpoint_dir ckpt ckpt_path model_path
    model_file model_dir model_uri model_url weights_path best_model_path plot_path report_path
    wandb_url wandb_id run_url url uri link dashboard priority sequence_number is_baseline
    baseline_run parent_run parent hypothesis_note reviewer approved approved_by reason
    created_by updated_by run_by device_id gpu_id folder_name scheduler_job parameters
    hyperparameters_json record_type event event_type level logger module line_no notebook_url
    seed_index tensorboard tensorboard_dir screenshot owner_email email purpose goal motivation
    objective_note todo run_number run_index run_type iteration_name model_tag snapshot
    snapshot_date data_snapshot data_source data_url data_uri dataset_url dataset_uri
    # how much there was
    model_params n_params num_params num_parameters n_parameters param_count parameter_count
    total_params trainable_params model_size_mb model_size_gb model_bytes file_size params_m
    model_params_m macs gmacs flops gflops mflops tflops total_flos flos input_length
    output_length input_len_chars text_length length word_count char_count token_count num_rows
    n_rows rows row_count shape n_features num_features n_samples num_samples n_obs
    train_samples test_samples val_samples n_train n_test n_val n_valid num_train num_test
    num_val train_size_rows support dataset_size data_size corpus_size corpus_hours
    prompt_tokens completion_tokens total_tokens input_tokens output_tokens cached_tokens
    reasoning_tokens n_tokens num_tokens tokens tokens_seen n_tokens_in n_tokens_out tokens_in
    tokens_out sparsity density class_balance positive_fraction base_rate prevalence best_epoch
    best_iteration best_step best_iter best_ntree_limit stopped_epoch n_iter n_iter_
    iterations_run epochs_run epochs_trained num_updates n_updates total_steps total_timesteps
    total_frames total_episodes n_episodes num_episodes ep_len_mean ep_length episode_length
    episode_len episode_steps audio_duration_s audio_duration clip_duration steps_per_episode
    mean_ep_length n_positive n_negative num_positive num_negative n_pos n_neg audio_seconds
    train_hours tp fp tn fn n_trades num_trades trade_count trades total_trades n_days n_bars
    start_equity
    # how long it took
    train_time training_time train_seconds fit_time fit_seconds score_time wall_time walltime
    wall_clock wall_clock_s elapsed elapsed_time elapsed_s elapsed_sec total_time time_total
    time_elapsed epoch_time epoch_seconds epoch_duration run_time runtime eval_runtime
    train_runtime eval_time eval_seconds test_time predict_time duration duration_s duration_sec
    duration_ms duration_seconds run_duration training_duration gpu_hours cpu_hours
    compute_hours setup_time load_time data_time queue_time samples_per_second steps_per_second
    train_samples_per_second train_steps_per_second eval_samples_per_second
    eval_steps_per_second region model_fingerprint system_fingerprint target_rate class_ratio
    event_rate positive_rate label_rate imbalance_ratio buffer_fill class_distribution
    recovery_days time_underwater input_tokens_total output_tokens_total total_audio_s
    dataset_len dataset_length index_size cluster_name report_to driver
""")
#: Context as the last word of a name.
CONTEXT_ENDINGS = _set("""
    commit hash sha sha1 sha256 md5 checksum version branch url uri link path dir directory
    folder file filename file_path user username host hostname pid status note notes comment
    comments description timestamp datetime percent_used device_name gpu_name flos flops count
    counts name_of_run dirty uuid_of tag tags remark tokens token_count bytes params parameters
    epoch episode iteration iter index idx step number num_seen seen processed completed failed
    successful skipped dropped remaining done rows samples examples records observations images
    utterances documents docs sentences words users items customers sessions features trades
    transactions bars frames files timesteps updates episodes gpus nodes cpus threads accounts
    calls requests retries entities triples edges series points instances players videos clips
    speakers hours_of_audio events interactions clicks tickers assets symbols visits patients
    genes cells molecules labels_count groups_count columns cols imgs fingerprint sizes_kb ver
    rev round desc
    owner author team reviewer maintainer operator
    repo repository
""")
#: The first word of a name of machine, software, version control or bookkeeping.
CONTEXT_PREFIXES = _set("""
    system sys git gpu cpu cuda cudnn slurm host hostname machine os platform python docker k8s
    kubernetes wandb mlflow dvc xetrack node hardware meta metadata nvidia nvml ram disk env_var
    environ runtime_env build ci lib package conda pip commit
""")
#: Loop counters: they count rows and are neither settings nor metrics.
COUNTERS = _set("""
    epoch step global_step current_step train_step iteration iter it fold fold_id cv_fold
    batch_idx batch_index index idx i row row_number row_num sample example request line turn
    round generation episode timestep timesteps num_timesteps frame tick bar update updates
    n_calls call_number trial_number seq seqno sequence_no position_in_batch chunk_index page
    offset batch_number num_frames frames env_steps env_step global_steps total_env_steps
    trial rep replicate repetition
""")

# -- keys -----------------------------------------------------------------------------------

#: A key as the whole name.
KEYS = _set("""
    id uuid guid key pk track_id run_id run_uuid run_hash trial_id experiment_id exp_id job_id
    session_id backtest_id study_id sweep_id task_id request_id trace_id span_id batch_id
    sample_id example_id input_id item_id row_id record_id prediction_id document_id doc_id
    question_id query_id utt_id utterance_id user_id session speaker_id image_id video_id
    audio_id series_id unique_id customer_id product_id patient_id subject_id parent_id
    parent_run_id group_id worker_id conversation_id message_id timestamp version
    experiment_version exp_version run_version qid pid_key uid guid_key sid
""")
#: Names ending in ``_id`` that are settings or facts of the machine.
NOT_KEYS = _set("""
    model_id env_id gym_id dataset_id tokenizer_id blank_id pad_id pad_token_id eos_id
    eos_token_id bos_token_id unk_id sep_id cls_id gpu_id device_id config_id wandb_id commit_id
    build_id process_id rank_id template_id prompt_id fold_id class_id label_id action_id
    token_id policy_id scenario_id recipe_id
""")
KEY_ENDINGS = _set("""
    id ids uuid guid uid key sku
""")

#: Times, which are context if the table has its own time column.
TIMES = _set("""
    timestamp created_at logged_at datetime date_time time date ts created updated_at updated
    finished_at finished end_time start_time started_at started ended ended_at started_on run_at
    ran_at logged recorded_at run_date date_run time_start time_end datetime_start
    datetime_complete evaluated_at trained_at completed_at submitted_at tagged_at walltime_start
    utc utc_time wall_time_start creation_time last_update_time start_timestamp end_timestamp
""")
TIME_ENDINGS = _set("""
    at timestamp datetime ts
""")

# -- output -----------------------------------------------------------------------------------

#: Input and output of a model for one row, as the whole name.
OUTPUTS = _set("""
    prediction predictions predicted pred preds predict yhat y_hat yhat_lower yhat_upper y_pred
    y_true y_test y_prob y_proba y_score predicted_label predicted_class predicted_value
    predicted_rating predicted_price ground_truth groundtruth gt truth true_label true_class
    true_value gold gold_label gold_answer expected expected_output expected_answer actual
    actuals observed label labels class_label class_name target_text target_value answer answers
    question questions query queries prompt prompts prompt_text user_prompt user_input
    user_message system_message response responses raw_response raw_output raw raw_text
    model_response model_output model_answer completion completions generations generated
    generated_text output outputs output_text input inputs input_text text texts text_input
    transcript transcription transcripts hypothesis hyp ref reference references caption
    captions translation summary summary_text source_text contexts context retrieved
    retrieved_docs retrieved_ids retrieved_context documents passages passage sources citations
    snippet chunk chunks_used rating rating_true user_rating human_rating human_score thumbs
    logits logit probs proba probas probability probabilities confidence confidences uncertainty
    interval bbox bboxes boxes box_coords pred_boxes mask masks segmentation heatmap saliency
    attention_map keypoints landmarks polygon image images image_path img img_path image_file
    audio audio_path audio_file wav wav_path video video_path filename file_name file filepath
    trajectory action actions observation observations obs next_obs state reward_signal signal
    signals position positions order_side side quantity fill_price entry_price exit_price
    forecast forecasts forecast_value value values residual_value fitted recommended
    recommended_items recommendations recs ranked_items ranking items top_items clicked clicks
    purchased explanation explanations rationale reasoning thought thoughts chain_of_thought cot
    feedback review review_text message messages conversation history_text dialogue tool_calls
    tool_call function_call stdout stderr traceback stack_trace exception error_message
    error_msg warning warning_message log logs judge_comment judge_reasoning judge_output
    verdict decision correct is_correct anomaly is_anomaly anomaly_flag outlier cluster_label
    topic_label embedding_vector embeddings vector feature_vector features_vector shap_values
    feature_importances feature_importance importances coefficients confusion_matrix
    classification_report best_params params_json config_json json payload blob metadata_json
    result result_json open high low close ticker symbol y x ds sentence sentences document
    passage_text title_text body content utterance turn_text code code_output test_output
    evaluation generated_sql gold_sql tool_args retrieved_chunks fitted_values judge_verdict
    top_feature top_features best_feature prob lower_bound upper_bound smiles sequence critique
    scratchpad molecule
    lower upper measured_value
""")
#: Output, as the first word of a name, unless the rest is a metric or a count.
OUTPUT_BEGINNINGS = _set("""
    pred predicted gold gt true actual observed measured detected retrieved recommended generated
    forecast prob proba logit prediction y yhat hypothesis orig original raw
""")
#: The subject of a row, whose name is not a setting.
ROW_NOUNS = _set("""
    image img item movie product asset stock user file patient molecule protein gene song track
    sample video document doc article speaker player class label category
""")
#: Output, as the last word of a name.
OUTPUT_ENDINGS = _set("""
    prediction predictions pred preds predicted yhat hat proba probas probs logits response
    responses answer answers question text transcript transcription hypothesis caption
    translation completion completions output outputs input inputs message messages label labels
    truth true_label boxes bbox masks mask explanation rationale reasoning content json
    confusion_matrix traceback exception items recs embedding_vector vector rating actual
    forecast img utterance sentence action observation prices_list sql verdict chunks tool_args
    passages snippets item title smiles sequence symbol ticker critique trace
""")
